// Small files that outlive the process.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base.h"

namespace understudy {

Status write_all(int fd, const void* data, std::size_t size);
// To the end of a file: all of it, or what was written of it is cut off again, because it would hide what is appended next.
Status append_all(int fd, const void* data, std::size_t size);
// EFBIG: it is longer than `most`.
Result<Bytes> read_file(const std::string& path, u64 most = ~u64{0});
// What was made, moved or removed in it is on stable storage.
Status sync_folder(const std::string& path);
// The file holds these parts, one after the other, on stable storage; or it is as it was.
Status replace_file(const std::string& path, std::initializer_list<std::string_view> parts);

// Where a document of any length goes to and comes from, piece by piece.
class ByteSink {
 public:
  virtual void append(const void* data, std::size_t size) = 0;

 protected:
  ~ByteSink() = default;
};
class ByteFeed {
 public:
  virtual u64 left() const = 0;
  // False: so much is not left, or it cannot be read.
  virtual bool take(void* to, std::size_t size) = 0;

 protected:
  ~ByteFeed() = default;
};

// A file that is written piece by piece and then takes the place of another at once, as by replace_file: for what is
// too much to be held as one.
class FileReplacement final : public ByteSink {
 public:
  // `head`: bytes left free at the front, for what is known last.
  FileReplacement(const std::string& path, std::size_t head);
  void append(const void* data, std::size_t size) override;
  u64 size() const { return size_; }   // appended so far
  u32 crc() const;                     // CRC-32C of that
  // The file at the path is this one, on stable storage; or it is as it was.
  Status commit(std::string_view head);

 private:
  void write_out();

  std::string path_;
  Fd fd_;
  Bytes pending_;
  u64 size_ = 0;
  u32 crc_ = 0;   // of what is written out
  Status state_ = ok();
};

// A file that is read piece by piece.
class FileFeed final : public ByteFeed {
 public:
  static Result<FileFeed> open(const std::string& path);
  u64 left() const override { return size_ - at_; }
  bool take(void* to, std::size_t size) override;
  // CRC-32C from here to the end, by a look ahead; where we are stays.
  Result<u32> crc_of_rest() const;

 private:
  FileFeed() = default;

  Fd fd_;
  Bytes buffer_;
  std::size_t from_ = 0;   // of the buffer
  u64 size_ = 0, at_ = 0;
};

inline std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
inline std::string_view view(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
template <typename T>
std::string_view view_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace understudy
