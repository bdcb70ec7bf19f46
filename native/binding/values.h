// Node-API values to and from C++, for the binding only. A failed conversion leaves a JavaScript exception pending.
#pragma once

#include <node_api.h>

#include <string>
#include <vector>

#include "base.h"
#include "fact.h"

namespace understudy::binding {

// The name of an errno value, `E<number>` for those without one.
std::string errno_name(int code);
void throw_error(napi_env env, const SysError& error);
void throw_text(napi_env env, const std::string& text);

napi_value to_js(napi_env env, const std::string& text);
napi_value to_js(napi_env env, double number);
napi_value to_js(napi_env env, bool flag);
napi_value to_js(napi_env env, const std::vector<std::string>& list);
napi_value to_js(napi_env env, const Bytes& bytes);   // Buffer
napi_value to_js(napi_env env, const Fact& fact);     // { kind, ... }

// One object under construction.
class Object {
 public:
  explicit Object(napi_env env) : env_(env) { napi_create_object(env, &value_); }
  template <typename T>
  Object& set(const char* name, const T& value) {
    napi_set_named_property(env_, value_, name, to_js(env_, value));
    return *this;
  }
  Object& count(const char* name, u64 value) { return set(name, static_cast<double>(value)); }
  Object& number(const char* name, i64 value) { return set(name, static_cast<double>(value)); }
  napi_value value() const { return value_; }

 private:
  napi_env env_;
  napi_value value_;
};

// Arguments of one call.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info);
  std::size_t size() const { return count_; }
  napi_value self() const { return self_; }
  void* data() const { return data_; }
  napi_value at(std::size_t index) const { return values_[index]; }
  double number(std::size_t index) const;
  i32 handle(std::size_t index) const { return static_cast<i32>(number(index)); }
  bool flag(std::size_t index) const;
  std::string text(std::size_t index) const;
  Bytes bytes(std::size_t index) const;

 private:
  napi_env env_;
  napi_value values_[6];
  std::size_t count_ = 6;
  napi_value self_ = nullptr;
  void* data_ = nullptr;
};

// Fields of an options object.
napi_value field(napi_env env, napi_value object, const char* name);
bool is_null(napi_env env, napi_value value);   // null or undefined
double number_field(napi_env env, napi_value object, const char* name);
bool flag_field(napi_env env, napi_value object, const char* name);
std::string text_field(napi_env env, napi_value object, const char* name);
Bytes bytes_field(napi_env env, napi_value object, const char* name);
std::vector<napi_value> list_field(napi_env env, napi_value object, const char* name);
std::vector<std::string> texts_field(napi_env env, napi_value object, const char* name);
std::string as_text(napi_env env, napi_value value);
Bytes as_bytes(napi_env env, napi_value value);

}  // namespace understudy::binding
