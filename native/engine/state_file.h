// Small files that outlive the process.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base.h"

namespace understudy {

Status write_all(int fd, const void* data, std::size_t size);
// EFBIG: it is longer than `most`.
Result<Bytes> read_file(const std::string& path, u64 most = ~u64{0});
// What was made, moved or removed in it is on stable storage.
Status sync_folder(const std::string& path);
// The file holds these parts, one after the other, on stable storage; or it is as it was.
Status replace_file(const std::string& path, std::initializer_list<std::string_view> parts);

inline std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
inline std::string_view view(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
template <typename T>
std::string_view view_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace understudy
