#include "values.h"

#include <cstring>

namespace understudy::binding {

std::string errno_name(int code) {
  const char* name = ::strerrorname_np(code);
  return name != nullptr ? name : "E" + std::to_string(code);
}

void throw_error(napi_env env, const SysError& error) {
  const std::string code = errno_name(error.code);
  const std::string message = error.call + ": " + std::strerror(error.code) + " (" + code + ")";
  napi_value text, code_value, call_value, exception;
  napi_create_string_utf8(env, message.data(), message.size(), &text);
  napi_create_string_utf8(env, code.data(), code.size(), &code_value);
  napi_create_string_utf8(env, error.call.data(), error.call.size(), &call_value);
  napi_create_error(env, code_value, text, &exception);
  napi_set_named_property(env, exception, "call", call_value);
  napi_throw(env, exception);
}

void throw_text(napi_env env, const std::string& text) { napi_throw_error(env, "EINVAL", text.c_str()); }

napi_value to_js(napi_env env, const std::string& text) {
  napi_value value;
  // Names of any bytes: what is no UTF-8 becomes U+FFFD for display; the engine itself never goes through text.
  napi_create_string_utf8(env, text.data(), text.size(), &value);
  return value;
}

napi_value to_js(napi_env env, double number) {
  napi_value value;
  napi_create_double(env, number, &value);
  return value;
}

napi_value to_js(napi_env env, bool flag) {
  napi_value value;
  napi_get_boolean(env, flag, &value);
  return value;
}

napi_value to_js(napi_env env, const std::vector<std::string>& list) {
  napi_value value;
  napi_create_array_with_length(env, list.size(), &value);
  for (std::size_t i = 0; i < list.size(); ++i) napi_set_element(env, value, static_cast<u32>(i), to_js(env, list[i]));
  return value;
}

napi_value to_js(napi_env env, const Bytes& bytes) {
  napi_value value;
  napi_create_buffer_copy(env, bytes.size(), bytes.data(), nullptr, &value);
  return value;
}

napi_value to_js(napi_env env, const Fact& fact) {
  Object object(env);
  object.set("kind", fact.kind);
  for (const auto& [name, value] : fact.fields) {
    if (const auto* number = std::get_if<i64>(&value)) {
      if (std::strcmp(name, "code") == 0) object.set(name, errno_name(static_cast<int>(*number)));
      else object.number(name, *number);
    } else if (const auto* flag = std::get_if<bool>(&value)) {
      object.set(name, *flag);
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      object.set(name, *text);
    } else if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
      object.set(name, *list);
    } else {
      object.set(name, **std::get_if<std::shared_ptr<Bytes>>(&value));
    }
  }
  return object.value();
}

Arguments::Arguments(napi_env env, napi_callback_info info) : env_(env) {
  for (napi_value& value : values_) napi_get_undefined(env, &value);
  napi_get_cb_info(env, info, &count_, values_, &self_, &data_);
}

double Arguments::number(std::size_t index) const {
  double value = 0;
  napi_get_value_double(env_, values_[index], &value);
  return value;
}

bool Arguments::flag(std::size_t index) const {
  bool value = false;
  napi_get_value_bool(env_, values_[index], &value);
  return value;
}

std::string Arguments::text(std::size_t index) const { return as_text(env_, values_[index]); }
Bytes Arguments::bytes(std::size_t index) const { return as_bytes(env_, values_[index]); }

napi_value field(napi_env env, napi_value object, const char* name) {
  napi_value value;
  napi_get_undefined(env, &value);
  napi_get_named_property(env, object, name, &value);
  return value;
}

bool is_null(napi_env env, napi_value value) {
  napi_valuetype type;
  napi_typeof(env, value, &type);
  return type == napi_null || type == napi_undefined;
}

double number_field(napi_env env, napi_value object, const char* name) {
  double value = 0;
  napi_get_value_double(env, field(env, object, name), &value);
  return value;
}

bool flag_field(napi_env env, napi_value object, const char* name) {
  bool value = false;
  napi_get_value_bool(env, field(env, object, name), &value);
  return value;
}

std::string as_text(napi_env env, napi_value value) {
  std::size_t size = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &size) != napi_ok) return {};
  std::string text(size + 1, 0);
  napi_get_value_string_utf8(env, value, text.data(), text.size(), &size);
  text.resize(size);
  return text;
}

Bytes as_bytes(napi_env env, napi_value value) {
  Bytes bytes;
  bool is_typed = false;
  napi_is_typedarray(env, value, &is_typed);
  if (!is_typed) return bytes;
  napi_typedarray_type type;
  std::size_t length = 0;
  void* data = nullptr;
  napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr);
  bytes.append(data, length);
  return bytes;
}

std::string text_field(napi_env env, napi_value object, const char* name) {
  return as_text(env, field(env, object, name));
}

Bytes bytes_field(napi_env env, napi_value object, const char* name) {
  return as_bytes(env, field(env, object, name));
}

std::vector<napi_value> list_field(napi_env env, napi_value object, const char* name) {
  std::vector<napi_value> list;
  const napi_value value = field(env, object, name);
  bool is_array = false;
  napi_is_array(env, value, &is_array);
  if (!is_array) return list;
  u32 length = 0;
  napi_get_array_length(env, value, &length);
  for (u32 i = 0; i < length; ++i) {
    napi_value element;
    napi_get_element(env, value, i, &element);
    list.push_back(element);
  }
  return list;
}

std::vector<std::string> texts_field(napi_env env, napi_value object, const char* name) {
  std::vector<std::string> texts;
  for (napi_value value : list_field(env, object, name)) texts.push_back(as_text(env, value));
  return texts;
}

}  // namespace understudy::binding
