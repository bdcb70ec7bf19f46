// What the engine reports upwards: a kind and a few named values, turned into one JavaScript object each.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base.h"

namespace understudy {

struct Fact {
  using Value = std::variant<i64, bool, std::string, std::vector<std::string>, std::shared_ptr<Bytes>>;
  std::string kind;
  std::vector<std::pair<const char*, Value>> fields;

  explicit Fact(std::string name) : kind(std::move(name)) {}
  Fact&& with(const char* name, i64 value) && { return std::move(*this).put(name, value); }
  Fact&& with(const char* name, std::string value) && { return std::move(*this).put(name, std::move(value)); }
  Fact&& with(const char* name, std::vector<std::string> value) && { return std::move(*this).put(name, std::move(value)); }
  Fact&& with(const char* name, Bytes value) && {
    return std::move(*this).put(name, std::make_shared<Bytes>(std::move(value)));
  }
  Fact&& flag(const char* name, bool value) && { return std::move(*this).put(name, value); }
  // `code` (errno, turned into its name) and `call`.
  Fact&& error(const SysError& error) && {
    return std::move(*this).put("code", i64{error.code}).put("call", error.call);
  }

 private:
  Fact&& put(const char* name, Value value) {
    fields.emplace_back(name, std::move(value));
    return std::move(*this);
  }
};

using Tell = std::function<void(Fact)>;

}  // namespace understudy
