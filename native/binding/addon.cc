// Entry of the addon: free functions and createEngine (engine.cc). Names and shapes are those of native/index.ts.
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>

#include <cstdlib>

#include "compare_trees.h"
#include "datagram.h"
#include "freeze.h"
#include "probe.h"
#include "tls_link.h"
#include "values.h"

namespace understudy::binding {

napi_value create_engine(napi_env env, napi_callback_info info);

namespace {

napi_value create_identity_call(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  Result<PemIdentity> identity = create_identity(arguments.text(0));
  if (!identity) return throw_error(env, identity.error()), nullptr;
  return Object(env).set("key", identity->key).set("certificate", identity->certificate).value();
}

napi_value public_key_digest_call(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  Result<std::string> digest = public_key_digest(arguments.text(0));
  if (!digest) return throw_error(env, digest.error()), nullptr;
  return to_js(env, *digest);
}

napi_value peer_credentials(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(arguments.handle(0), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return throw_error(env, sys_error("getsockopt(SO_PEERCRED)")), nullptr;
  return Object(env).number("pid", credentials.pid).number("uid", credentials.uid).number("gid", credentials.gid).value();
}

// The user's entry; false when the uid has none.
bool user_entry(uid_t uid, passwd& entry, std::vector<char>& room) {
  room.resize(16u << 10);
  passwd* found = nullptr;
  while (::getpwuid_r(uid, &entry, room.data(), room.size(), &found) == ERANGE && room.size() < (1u << 20)) room.resize(room.size() * 2);
  return found != nullptr;
}

napi_value group_names(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  std::vector<std::string> names;
  passwd entry;
  std::vector<char> room;
  if (user_entry(static_cast<uid_t>(arguments.number(0)), entry, room)) {
    int count = 64;
    std::vector<gid_t> groups(static_cast<std::size_t>(count));
    if (::getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count) < 0) {
      groups.resize(static_cast<std::size_t>(count));
      ::getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count);
    }
    for (int i = 0; i < count; ++i) {
      group record;
      group* found = nullptr;
      std::vector<char> text(16u << 10);
      while (::getgrgid_r(groups[static_cast<std::size_t>(i)], &record, text.data(), text.size(), &found) == ERANGE && text.size() < (1u << 20)) text.resize(text.size() * 2);
      if (found != nullptr) names.emplace_back(record.gr_name);
    }
  }
  return to_js(env, names);
}

napi_value user_name(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  passwd entry;
  std::vector<char> room;
  if (user_entry(static_cast<uid_t>(arguments.number(0)), entry, room)) return to_js(env, std::string(entry.pw_name));
  napi_value none;
  napi_get_null(env, &none);
  return none;
}

napi_value account(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const std::string name = arguments.text(0);
  std::vector<char> room(16u << 10);
  passwd entry;
  passwd* found = nullptr;
  while (::getpwnam_r(name.c_str(), &entry, room.data(), room.size(), &found) == ERANGE && room.size() < (1u << 20)) room.resize(room.size() * 2);
  char* end = nullptr;
  const unsigned long uid = std::strtoul(name.c_str(), &end, 10);
  const bool number = !name.empty() && *end == 0 && uid < 0xffff'ffff;
  if (found != nullptr || (number && user_entry(static_cast<uid_t>(uid), entry, room)))
    return Object(env).set("name", std::string(entry.pw_name)).number("uid", entry.pw_uid).number("gid", entry.pw_gid)
        .set("home", std::string(entry.pw_dir)).value();
  napi_value none;
  napi_get_null(env, &none);
  return none;
}

napi_value file_system_of_call(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  Result<std::string> text = file_system_of(arguments.text(0));
  if (!text) return throw_error(env, text.error()), nullptr;
  return to_js(env, *text);
}

napi_value thaw_call(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  if (Status thawed = thaw(arguments.text(0)); !thawed) throw_error(env, thawed.error());
  return nullptr;
}

napi_value probe_call(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const Probe probe = probe_capture(arguments.text(0), arguments.flag(1));
  return Object(env).set("fanotify", probe.fanotify).set("inotify", probe.inotify).set("fileSystem", probe.file_system)
      .set("kernel", probe.kernel).set("fanotifyUsable", probe.fanotify_usable).set("inotifyUsable", probe.inotify_usable)
      .set("openat2", probe.openat2).count("openFilesMax", probe.open_files_max).value();
}

napi_value compare_trees_call(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  TreeComparisonOptions options;
  options.differences_max = static_cast<std::size_t>(arguments.number(2));
  Result<TreeComparison> compared = compare_trees(arguments.text(0), arguments.text(1), options);
  if (!compared) return throw_error(env, compared.error()), nullptr;
  const TreeComparison& comparison = *compared;
  return Object(env).count("files", comparison.files).count("bytes", comparison.bytes).count("differing", comparison.differing)
      .set("differences", comparison.differences).value();
}

napi_value send_datagram_call(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  Result<std::size_t> sent = send_datagram(arguments.text(0), arguments.bytes(1));
  if (!sent) return throw_error(env, sent.error()), nullptr;
  return to_js(env, static_cast<double>(*sent));
}

napi_value start(napi_env env, napi_value exports) {
  const struct {
    const char* name;
    napi_callback call;
  } functions[] = {{"createEngine", create_engine}, {"createIdentity", create_identity_call},
                   {"publicKeyDigest", public_key_digest_call}, {"peerCredentials", peer_credentials},
                   {"groupNames", group_names}, {"userName", user_name}, {"probe", probe_call},
                   {"compareTrees", compare_trees_call}, {"sendDatagram", send_datagram_call},
                   {"account", account}, {"fileSystemOf", file_system_of_call}, {"thaw", thaw_call}};
  for (const auto& each : functions) {
    napi_value function;
    napi_create_function(env, each.name, NAPI_AUTO_LENGTH, each.call, nullptr, &function);
    napi_set_named_property(env, exports, each.name, function);
  }
  return exports;
}

}  // namespace

NAPI_MODULE(understudy, start)

}  // namespace understudy::binding
