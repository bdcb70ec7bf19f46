// The engine object of the addon: handles, calls, and the one road on which facts reach JavaScript.
#include <malloc.h>

#include <map>
#include <memory>
#include <mutex>

#include "channel.h"
#include "freeze.h"
#include "inbound.h"
#include "listener.h"
#include "sockets.h"
#include "source.h"
#include "values.h"

namespace understudy::binding {

namespace {

constexpr std::size_t kUntrustedMax = 64;   // links that came in and were not accepted yet

class Host {
 public:
  ~Host() { close(); }

  Tell teller() {
    return [this](Fact fact) {
      auto* heap = new Fact(std::move(fact));
      if (napi_call_threadsafe_function(events, heap, napi_tsfn_nonblocking) != napi_ok) delete heap;
    };
  }

  std::shared_ptr<Inbound> inbound(i32 id) {
    std::lock_guard lock(mutex);
    const auto at = links.find(id);
    return at == links.end() ? nullptr : at->second;
  }

  void arrived(Fd socket) {
    std::shared_ptr<Inbound> link;
    {
      std::lock_guard lock(mutex);
      std::size_t untrusted = 0;
      for (const auto& [id, each] : links) untrusted += each->mark_path().empty();
      if (closed || untrusted >= kUntrustedMax) return;   // The descriptor closes: too many strangers at once.
      const i32 id = ++last_id;
      link = std::make_shared<Inbound>(id, teller());
      links.emplace(id, link);
    }
    link->start(identity, std::move(socket), tuning);
  }

  void drop_link(i32 id) {
    std::shared_ptr<Inbound> link;
    {
      std::lock_guard lock(mutex);
      const auto at = links.find(id);
      if (at == links.end()) return;
      link = std::move(at->second);
      links.erase(at);
    }
    link->stop();
  }

  // Two links of one connection: the older one is dead, its source has already come back.
  void drop_same_mark(i32 except, const std::string& mark_path) {
    std::vector<i32> same;
    {
      std::lock_guard lock(mutex);
      for (const auto& [id, each] : links)
        if (id != except && each->mark_path() == mark_path) same.push_back(id);
    }
    for (i32 id : same) drop_link(id);
  }

  void close() {
    if (closed) return;
    listener.reset();
    {
      std::lock_guard lock(mutex);
      closed = true;
    }
    for (auto& [id, channel] : channels) channel->disconnect();
    for (auto& [id, source] : sources) source->close();
    channels.clear();
    sources.clear();
    freezes.clear();
    std::map<i32, std::shared_ptr<Inbound>> old;
    {
      std::lock_guard lock(mutex);
      old.swap(links);
    }
    for (auto& [id, link] : old) link->stop();
    old.clear();
    napi_release_threadsafe_function(events, napi_tsfn_abort);
  }

  std::shared_ptr<TlsIdentity> identity;
  std::shared_ptr<QueueBudget> budget;           // QUE-04, of the whole agent
  const std::shared_ptr<Tuning> tuning = std::make_shared<Tuning>();
  napi_threadsafe_function events = nullptr;
  std::unique_ptr<Listener> listener;
  std::map<i32, std::unique_ptr<Source>> sources;
  std::map<i32, std::shared_ptr<Channel>> channels;
  std::map<i32, i32> channel_source;
  std::map<i32, std::shared_ptr<Freeze>> freezes;
  std::mutex mutex;                              // guards links and last_id
  std::map<i32, std::shared_ptr<Inbound>> links;
  i32 last_id = 0;
  bool closed = false;

  // One for all connections to an address (TRN-35), as long as there are any.
  std::shared_ptr<Throttle> throttle(const std::string& address) {
    std::erase_if(throttles, [](const auto& each) { return each.second.expired(); });
    std::shared_ptr<Throttle> shared = throttles[address].lock();
    if (!shared) throttles[address] = shared = std::make_shared<Throttle>();
    return shared;
  }
  std::map<std::string, std::weak_ptr<Throttle>> throttles;

  Source* source(napi_env env, i32 id) {
    const auto at = sources.find(id);
    if (at != sources.end()) return at->second.get();
    throw_text(env, "no source with handle " + std::to_string(id));
    return nullptr;
  }
  std::shared_ptr<Channel> channel(napi_env env, i32 id) {
    const auto at = channels.find(id);
    if (at != channels.end()) return at->second;
    throw_text(env, "no connection with handle " + std::to_string(id));
    return nullptr;
  }
  i32 next_id() {
    std::lock_guard lock(mutex);
    return ++last_id;
  }
};

void deliver(napi_env env, napi_value callback, void* context, void* data) {
  std::unique_ptr<Fact> fact(static_cast<Fact*>(data));
  if (env == nullptr) return;
  napi_value global, argument = to_js(env, *fact);
  napi_get_global(env, &global);
  if (napi_call_function(env, global, callback, 1, &argument, nullptr) == napi_pending_exception) {
    // The listener threw: an assertion of the control plane. It must end the process as any uncaught error does.
    napi_value exception;
    napi_get_and_clear_last_exception(env, &exception);
    napi_fatal_exception(env, exception);
  }
  const auto* number = fact->fields.empty() ? nullptr : std::get_if<i64>(&fact->fields[0].second);
  if (number == nullptr) return;
  auto* host = static_cast<Host*>(context);
  if (fact->kind == "link_closed") host->drop_link(static_cast<i32>(*number));
  else if (fact->kind == "freeze_ended" || fact->kind == "freeze_failed") host->freezes.erase(static_cast<i32>(*number));
}

using Method = napi_value (*)(napi_env, Host&, Arguments&);

template <Method F>
napi_value method(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  Host& host = *static_cast<Host*>(arguments.data());
  if (host.closed) {
    throw_text(env, "the engine is closed");
    return nullptr;
  }
  return F(env, host, arguments);
}

napi_value listen(napi_env env, Host& host, Arguments& arguments) {
  auto opened = Listener::open(arguments.text(0), static_cast<u16>(arguments.number(1)), [&host](Fd socket) { host.arrived(std::move(socket)); });
  if (!opened) return throw_error(env, opened.error()), nullptr;
  host.listener = std::move(*opened);
  host.listener->set_window(host.tuning->window);
  return to_js(env, static_cast<double>(host.listener->port()));
}

// What is in force from now on; returns the bytes of socket buffers that the kernel grants.
napi_value tune(napi_env env, Host& host, Arguments& arguments) {
  const napi_value from = arguments.at(0);
  Tuning& tuning = *host.tuning;
  tuning.heartbeat_ns = static_cast<i64>(number_field(env, from, "heartbeatMs")) * 1'000'000;
  tuning.missed_limit = static_cast<u32>(number_field(env, from, "heartbeatsMissedMax"));
  tuning.show_heartbeats = flag_field(env, from, "showHeartbeats");
  tuning.set_local_address(text_field(env, from, "localAddress"));
  tuning.window = static_cast<u32>(number_field(env, from, "windowBytes"));
  tuning.mirror_pending = static_cast<u32>(number_field(env, from, "mirrorPendingMax"));
  tuning.replication_ratio = static_cast<u32>(number_field(env, from, "replicationRatio"));
  tuning.mirror_memory.set_marks(static_cast<u64>(number_field(env, from, "mirrorHighBytes")), static_cast<u64>(number_field(env, from, "mirrorLowBytes")));
  if (host.listener) host.listener->set_window(tuning.window);
  return to_js(env, static_cast<double>(granted_window(tuning.window)));
}

OrphanOptions orphan_options(napi_env env, napi_value from) {
  OrphanOptions orphans;
  const std::string action = text_field(env, from, "action");
  orphans.action = action == "move" ? OrphanOptions::Action::move
                   : action == "delete" ? OrphanOptions::Action::remove : OrphanOptions::Action::none;
  orphans.log = flag_field(env, from, "log");
  orphans.age_ms = static_cast<u64>(number_field(env, from, "ageMs"));
  orphans.folder = text_field(env, from, "folder");
  return orphans;
}

napi_value accept(napi_env env, Host& host, Arguments& arguments) {
  const i32 id = arguments.handle(0);
  std::shared_ptr<Inbound> link = host.inbound(id);
  if (!link) return nullptr;   // Gone meanwhile; link_closed tells.
  const napi_value options = arguments.at(1);
  ReceiverOptions receiver;
  receiver.mark_path = text_field(env, options, "markPath");
  for (napi_value root : list_field(env, options, "roots"))
    receiver.roots.push_back({text_field(env, root, "path"), text_field(env, root, "sourcePath")});
  receiver.paused = flag_field(env, options, "paused");
  receiver.ignore_deletes = flag_field(env, options, "ignoreDeletes");
  receiver.remap_links = flag_field(env, options, "remapLinks");
  receiver.orphans = orphan_options(env, field(env, options, "orphans"));
  receiver.retry_ms = static_cast<u32>(number_field(env, options, "retryMs"));
  receiver.tuning = host.tuning;
  host.drop_same_mark(id, receiver.mark_path);
  if (Status accepted = link->accept(std::move(receiver), bytes_field(env, options, "welcome")); !accepted)
    throw_error(env, accepted.error());
  return nullptr;
}

napi_value refuse(napi_env, Host& host, Arguments& arguments) {
  if (auto link = host.inbound(arguments.handle(0))) link->refuse(arguments.bytes(1));
  return nullptr;
}

napi_value link_send(napi_env, Host& host, Arguments& arguments) {
  if (auto link = host.inbound(arguments.handle(0))) link->send_message(arguments.bytes(1));
  return nullptr;
}

napi_value link_close(napi_env, Host& host, Arguments& arguments) {
  host.drop_link(arguments.handle(0));
  return nullptr;
}

napi_value receiver_pause(napi_env, Host& host, Arguments& arguments) {
  if (auto link = host.inbound(arguments.handle(0))) link->pause(arguments.flag(1));
  return nullptr;
}

napi_value receiver_task_done(napi_env, Host& host, Arguments& arguments) {
  if (auto link = host.inbound(arguments.handle(0))) link->task_done(static_cast<u64>(arguments.number(1)));
  return nullptr;
}

napi_value receiver_ignore_deletes(napi_env, Host& host, Arguments& arguments) {
  if (auto link = host.inbound(arguments.handle(0))) link->ignore_deletes(arguments.flag(1));
  return nullptr;
}

napi_value receiver_orphans(napi_env env, Host& host, Arguments& arguments) {
  if (auto link = host.inbound(arguments.handle(0))) link->orphans(orphan_options(env, arguments.at(1)));
  return nullptr;
}

napi_value receiver_statistics(napi_env env, Host& host, Arguments& arguments) {
  ReceiverStatistics now;
  bool linked = false;
  auto link = host.inbound(arguments.handle(0));
  napi_value none;
  napi_get_null(env, &none);
  if (!link || !link->statistics(now, linked)) return none;
  return Object(env).set("linked", linked).count("batches", now.batches).count("operations", now.operations)
      .count("writtenBytes", now.written_bytes).count("applied", now.applied).count("durable", now.durable)
      .count("queuedBytes", now.queued_bytes).count("mirrorBytes", now.mirror_bytes).set("mirrorHeld", now.mirror_held).count("failed", now.failed).count("quarantined", now.quarantined).count("checkpoints", now.checkpoints)
      .set("pausing", now.pausing).set("retrying", now.retrying)
      .set("task", now.task).set("lastPath", now.last_path).value();
}

napi_value source_open(napi_env env, Host& host, Arguments& arguments) {
  const napi_value from = arguments.at(0);
  SourceOptions options;
  options.id = host.next_id();
  options.name = text_field(env, from, "name");
  options.tuning = host.tuning;
  options.state_dir = text_field(env, from, "stateDir");
  options.roots = texts_field(env, from, "roots");
  options.exclude = texts_field(env, from, "exclude");
  options.capture = text_field(env, from, "capture");
  options.sweep_ms = static_cast<u32>(number_field(env, from, "sweepMs"));
  options.root_identity = texts_field(env, from, "rootIdentity");
  options.streams = static_cast<u32>(number_field(env, from, "streams"));
  for (napi_value rule : list_field(env, from, "rules"))
    options.rules.push_back({text_field(env, rule, "path"), text_field(env, rule, "pattern"), flag_field(env, rule, "include"), flag_field(env, rule, "recursive")});
  const napi_value guard = field(env, from, "guard");
  if (!is_null(env, guard)) {
    options.guard_percent = static_cast<u32>(number_field(env, guard, "percent"));
    options.guard_count = static_cast<u32>(number_field(env, guard, "count"));
  }
  if (options.roots.empty()) return throw_text(env, "a source needs at least one root"), nullptr;
  const i32 id = options.id;
  auto source = std::make_unique<Source>(std::move(options), host.teller());
  source->start();
  host.sources.emplace(id, std::move(source));
  return to_js(env, static_cast<double>(id));
}

napi_value source_suspend(napi_env env, Host& host, Arguments& arguments) {
  if (Source* source = host.source(env, arguments.handle(0))) source->suspend();
  return nullptr;
}

napi_value source_close(napi_env env, Host& host, Arguments& arguments) {
  const i32 id = arguments.handle(0);
  if (host.source(env, id) == nullptr) return nullptr;
  for (const auto& [channel, source] : host.channel_source)
    if (source == id && host.channels.count(channel)) return throw_text(env, "close the source's connections first"), nullptr;
  host.sources[id]->close();
  host.sources.erase(id);
  return nullptr;
}

napi_value source_statistics(napi_env env, Host& host, Arguments& arguments) {
  Source* source = host.source(env, arguments.handle(0));
  if (source == nullptr) return nullptr;
  const SourceStatistics now = source->statistics();
  return Object(env).set("state", now.state).set("capture", now.capture).count("files", now.files)
      .count("directories", now.directories).count("bytes", now.bytes).count("dirty", now.dirty)
      .count("events", now.events).count("lost", now.lost).count("shadowBytes", now.shadow_bytes)
      .count("unreadable", now.unreadable).value();
}

napi_value source_continue(napi_env env, Host& host, Arguments& arguments) {
  if (Source* source = host.source(env, arguments.handle(0))) source->continue_stopped(arguments.text(1) == "never");
  return nullptr;
}

napi_value source_rescan(napi_env env, Host& host, Arguments& arguments) {
  if (Source* source = host.source(env, arguments.handle(0))) source->request_rescan("asked by the operator");
  return nullptr;
}

napi_value connection_open(napi_env env, Host& host, Arguments& arguments) {
  const i32 source_id = arguments.handle(0);
  Source* source = host.source(env, source_id);
  if (source == nullptr) return nullptr;
  const napi_value from = arguments.at(1);
  ChannelOptions options;
  options.id = host.next_id();
  options.host = text_field(env, from, "host");
  options.port = static_cast<u16>(number_field(env, from, "port"));
  options.peer_key = text_field(env, from, "peerKey");
  options.hello = bytes_field(env, from, "hello");
  options.state_dir = text_field(env, from, "stateDir");
  options.compression = static_cast<int>(number_field(env, from, "compression"));
  options.budget = host.budget;
  options.tuning = host.tuning;
  options.queue.folder = text_field(env, from, "queueFolder");
  const double disk_max = number_field(env, from, "queueDiskBytesMax");
  options.queue.bytes_max = disk_max < 0 ? DiskQueueOptions::kUnlimited : static_cast<u64>(disk_max);
  options.queue.free_min = static_cast<u64>(number_field(env, from, "queueFreeBytesMin"));
  options.disconnect_when_full = flag_field(env, from, "disconnectWhenFull");
  options.replication = flag_field(env, from, "replication");
  options.linking = flag_field(env, from, "linking");
  options.simulated = flag_field(env, from, "simulated");
  options.mirror_follows = flag_field(env, from, "mirrorFollows");
  options.retry_ns = static_cast<i64>(std::clamp(number_field(env, from, "retryMs"), 1.0, 86'400'000.0)) * 1'000'000;
  options.throttle = host.throttle(options.host);
  // An empty pin would accept anybody.
  if (!options.simulated && options.peer_key.size() != 64) return throw_text(env, "peerKey must be the hex SHA-256 of the target's public key"), nullptr;
  const i32 id = options.id;
  auto channel = std::make_shared<Channel>(*source, std::move(options), host.identity, host.teller());
  host.channels.emplace(id, channel);
  host.channel_source[id] = source_id;
  source->add_channel(channel);
  return to_js(env, static_cast<double>(id));
}

napi_value connection_close(napi_env env, Host& host, Arguments& arguments) {
  const i32 id = arguments.handle(0);
  auto channel = host.channel(env, id);
  if (!channel) return nullptr;
  host.channels.erase(id);
  Source* source = host.source(env, host.channel_source[id]);
  host.channel_source.erase(id);
  if (source != nullptr) source->remove_channel(channel, arguments.flag(1));
  return nullptr;
}

napi_value connection_statistics(napi_env env, Host& host, Arguments& arguments) {
  auto channel = host.channel(env, arguments.handle(0));
  if (!channel) return nullptr;
  static const char* const kMirror[] = {"idle", "mirroring", "paused", "waiting", "verifying", "orphans"};
  const StreamCounters counters = channel->stream.counters();
  const TargetFacts target = channel->stream.target();
  const i64 quiet = channel->quiet_ms();
  const bool linked = channel->ready();
  Source* const source = host.source(env, host.channel_source[arguments.handle(0)]);
  Lag lag;
  if (source != nullptr) lag = source->lag(*channel);
  else lag.ms = -1;
  return Object(env).set("linked", linked).set("transmitPaused", channel->paused())
      .set("mirror", std::string(kMirror[channel->counters.mirror])).set("replicating", channel->counters.replicating.load())
      .count("queuedOps", counters.queued_ops).count("queuedBytes", counters.queued_bytes)
      .count("queuedMirrorOps", counters.queued_mirror_ops).count("queuedMirrorBytes", counters.queued_mirror_bytes)
      .count("sentBytes", counters.sent_bytes).count("sentCompressedBytes", counters.sent_compressed)
      .count("sentMirrorBytes", counters.sent_mirror).count("sentMirrorCompressedBytes", counters.sent_mirror_compressed)
      .count("skippedMirrorBytes", channel->counters.skipped).count("remainingMirrorBytes", channel->counters.remaining)
      .count("mirrorFilesDone", channel->counters.files_done).count("mirrorFilesTotal", channel->counters.files_total)
      .count("wireBytes", channel->wire_bytes()).count("sequence", channel->stream.last_sequence())
      .count("applied", target.applied).count("durable", target.durable).count("targetQueuedBytes", target.queued_bytes)
      .set("targetPaused", (target.flags & wire::kAckPaused) != 0)
      .set("targetPausing", (target.flags & wire::kAckPausePending) != 0).set("targetRetrying", (target.flags & wire::kAckRetrying) != 0)
      .set("targetTask", (target.flags & wire::kAckTask) != 0).set("mirrorHeld", channel->mirror_held())
      .count("failed", channel->counters.failed).set("repairing", channel->counters.repairing.load()).number("latencyMs", lag.ms).number("unappliedMs", lag.unapplied_ms).number("recoveryPointMs", lag.point_ms)
      .count("lagBytes", lag.bytes).set("lagAtLeast", lag.at_least).number("heartbeatMs", lag.proof_ms)
      .set("lastPath", channel->last_path()).number("quietMs", quiet).count("queueHeldBytes", counters.held)
      .count("queueRoomBytes", counters.capacity).count("queueMemoryBytes", counters.memory).count("queueDiskBytes", counters.disk)
      .set("behind", channel->counters.behind.load()).count("sessionBytes", channel->throttle().spent())
      .set("budgetSpent", channel->throttle().exhausted()).value();
}

napi_value connection_send(napi_env env, Host& host, Arguments& arguments) {
  if (auto channel = host.channel(env, arguments.handle(0))) channel->send_message(arguments.bytes(1));
  return nullptr;
}

// Runs `command` on the source's worker with the channel kept alive.
void on_worker(napi_env env, Host& host, i32 id, std::function<void(Source&, Channel&)> command) {
  auto channel = host.channel(env, id);
  if (!channel) return;
  Source* source = host.source(env, host.channel_source[id]);
  if (source != nullptr) source->run([source, channel, command = std::move(command)] {
    if (channel->attached) command(*source, *channel);
  });
}

napi_value connection_reconnect(napi_env env, Host& host, Arguments& arguments) {
  on_worker(env, host, arguments.handle(0), [](Source&, Channel& channel) { channel.connect(); });
  return nullptr;
}

napi_value mirror_start(napi_env env, Host& host, Arguments& arguments) {
  const napi_value from = arguments.at(1);
  MirrorOptions options;
  const std::string compare = text_field(env, from, "compare");
  options.compare = compare == "none" ? MirrorOptions::Compare::none
                    : compare == "attributes" ? MirrorOptions::Compare::attributes : MirrorOptions::Compare::content;
  options.newer = flag_field(env, from, "newer");
  options.all = flag_field(env, from, "all");
  on_worker(env, host, arguments.handle(0), [options](Source& source, Channel& channel) { source.mirror_start(channel, options, false); });
  return nullptr;
}

napi_value mirror_pause(napi_env env, Host& host, Arguments& arguments) {
  on_worker(env, host, arguments.handle(0), [](Source&, Channel& channel) { channel.mirror.paused = channel.mirror.active; });
  return nullptr;
}

napi_value mirror_resume(napi_env env, Host& host, Arguments& arguments) {
  on_worker(env, host, arguments.handle(0), [](Source&, Channel& channel) { channel.mirror.paused = false; });
  return nullptr;
}

napi_value mirror_stop(napi_env env, Host& host, Arguments& arguments) {
  on_worker(env, host, arguments.handle(0), [](Source& source, Channel& channel) { source.mirror_stop(channel, "stopped by the operator"); });
  return nullptr;
}

napi_value replication_start(napi_env env, Host& host, Arguments& arguments) {
  on_worker(env, host, arguments.handle(0), [](Source& source, Channel& channel) { source.set_replicating(channel, true); });
  return nullptr;
}

napi_value replication_stop(napi_env env, Host& host, Arguments& arguments) {
  on_worker(env, host, arguments.handle(0), [](Source& source, Channel& channel) { source.set_replicating(channel, false); });
  return nullptr;
}

napi_value transmit_pause(napi_env env, Host& host, Arguments& arguments) {
  if (auto channel = host.channel(env, arguments.handle(0))) channel->set_paused(arguments.flag(1));
  return nullptr;
}

napi_value transmit_limit(napi_env env, Host& host, Arguments& arguments) {
  if (auto channel = host.channel(env, arguments.handle(0))) {
    channel->throttle().set_rate(static_cast<u64>(std::max(0.0, arguments.number(1))));
    channel->wake_link();
  }
  return nullptr;
}

napi_value transmit_budget(napi_env env, Host& host, Arguments& arguments) {
  if (auto channel = host.channel(env, arguments.handle(0))) {
    const double bytes = arguments.number(1);
    channel->throttle().set_budget(bytes < 0 ? Throttle::kNoBudget : static_cast<u64>(bytes));
    channel->wake_link();
  }
  return nullptr;
}

napi_value transmit_compression(napi_env env, Host& host, Arguments& arguments) {
  if (auto channel = host.channel(env, arguments.handle(0))) channel->set_compression(static_cast<int>(arguments.number(1)));
  return nullptr;
}

// Through the worker, as everything else that makes and ends links: in order, and the caller does not wait for a thread.
napi_value transmit_link(napi_env env, Host& host, Arguments& arguments) {
  const bool on = arguments.flag(1);
  // No batch begins after this call, however busy the worker is (TRN-20).
  if (auto channel = host.channel(env, arguments.handle(0)); channel && !on) channel->stop_sending();
  on_worker(env, host, arguments.handle(0), [on](Source&, Channel& channel) {
    channel.set_linking(on);
    if (on) channel.connect();
  });
  return nullptr;
}

napi_value barrier(napi_env env, Host& host, Arguments& arguments) {
  const i64 token = static_cast<i64>(arguments.number(1));
  on_worker(env, host, arguments.handle(0), [token](Source& source, Channel& channel) { source.barrier(channel, token); });
  return nullptr;
}

napi_value task(napi_env env, Host& host, Arguments& arguments) {
  const i64 token = static_cast<i64>(arguments.number(1));
  auto payload = std::make_shared<Bytes>(arguments.bytes(2));
  const bool durable = arguments.flag(3);
  std::shared_ptr<Freeze> freeze;
  if (!is_null(env, arguments.at(4))) {
    const auto at = host.freezes.find(arguments.handle(4));
    if (at == host.freezes.end()) return throw_text(env, "the freeze has ended"), nullptr;
    freeze = at->second;
  }
  on_worker(env, host, arguments.handle(0), [token, payload, durable, freeze](Source& source, Channel& channel) {
    source.task(channel, token, payload, durable, freeze);
  });
  return nullptr;
}

napi_value task_cancel(napi_env env, Host& host, Arguments& arguments) {
  const i64 token = static_cast<i64>(arguments.number(1));
  on_worker(env, host, arguments.handle(0), [token](Source& source, Channel& channel) { source.task_cancel(channel, token); });
  return nullptr;
}

napi_value freeze(napi_env env, Host& host, Arguments& arguments) {
  std::vector<std::string> paths;
  u32 length = 0;
  napi_get_array_length(env, arguments.at(0), &length);
  for (u32 i = 0; i < length; ++i) {
    napi_value item;
    napi_get_element(env, arguments.at(0), i, &item);
    paths.push_back(as_text(env, item));
  }
  const i32 id = host.next_id();
  host.freezes.emplace(id, std::make_shared<Freeze>(id, std::move(paths), static_cast<u32>(arguments.number(1)), host.teller()));
  return to_js(env, static_cast<double>(id));
}

napi_value freeze_release(napi_env, Host& host, Arguments& arguments) {
  const auto at = host.freezes.find(arguments.handle(0));
  if (at != host.freezes.end()) at->second->release();
  return nullptr;
}

napi_value verify(napi_env env, Host& host, Arguments& arguments) {
  MirrorOptions options;
  options.compare = MirrorOptions::Compare::content;
  options.checksum = flag_field(env, arguments.at(1), "checksum");
  options.remirror = flag_field(env, arguments.at(1), "remirror");
  options.newer = flag_field(env, arguments.at(1), "newer");
  on_worker(env, host, arguments.handle(0), [options](Source& source, Channel& channel) { source.mirror_start(channel, options, true); });
  return nullptr;
}

napi_value quarantine_list(napi_env env, Host& host, Arguments& arguments) {
  const i64 token = static_cast<i64>(arguments.number(1));
  const std::string after = arguments.text(2);
  const std::size_t limit = static_cast<std::size_t>(std::clamp(arguments.number(3), 1.0, 1'000.0));
  on_worker(env, host, arguments.handle(0), [token, after, limit](Source& source, Channel& channel) { source.quarantine_list(channel, token, after, limit); });
  return nullptr;
}

napi_value quarantine_retry(napi_env env, Host& host, Arguments& arguments) {
  const i64 token = static_cast<i64>(arguments.number(1));
  const std::string path = arguments.text(2);
  on_worker(env, host, arguments.handle(0), [token, path](Source& source, Channel& channel) { source.quarantine_retry(channel, token, path); });
  return nullptr;
}

napi_value orphans_start(napi_env env, Host& host, Arguments& arguments) {
  MirrorOptions options;
  options.compare = MirrorOptions::Compare::attributes;   // ask for every listing
  options.orphans = arguments.flag(1) ? MirrorOptions::Orphans::preview : MirrorOptions::Orphans::remove;
  on_worker(env, host, arguments.handle(0), [options](Source& source, Channel& channel) { source.mirror_start(channel, options, true); });
  return nullptr;
}

napi_value close_engine(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  static_cast<Host*>(arguments.data())->close();
  return nullptr;
}

}  // namespace

napi_value create_engine(napi_env env, napi_callback_info info) {
  // Batches of a megabyte come and go between threads: keep them in the heap in place of mapping each anew.
  ::mallopt(M_MMAP_THRESHOLD, 16 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 32 << 20);
  Arguments arguments(env, info);
  const napi_value options = arguments.at(0);
  auto identity = TlsIdentity::load(text_field(env, options, "key"), text_field(env, options, "certificate"));
  if (!identity) return throw_error(env, identity.error()), nullptr;
  auto* host = new Host();
  host->identity = *identity;
  host->budget = std::make_shared<QueueBudget>(static_cast<u64>(number_field(env, options, "queueMemoryBytes")));
  napi_value name, object;
  napi_create_string_utf8(env, "understudy engine", NAPI_AUTO_LENGTH, &name);
  if (napi_create_threadsafe_function(env, field(env, options, "onEvent"), nullptr, name, 0, 1, nullptr, nullptr, host, deliver, &host->events) != napi_ok) {
    delete host;
    throw_text(env, "onEvent must be a function");
    return nullptr;
  }
  host->tuning->mirror_memory.join([host] {
    const MirrorMemory& memory = host->tuning->mirror_memory;
    host->teller()(Fact("mirror_memory").flag("held", memory.held()).with("bytes", static_cast<i64>(memory.bytes())));
  });
  napi_create_object(env, &object);
  const struct {
    const char* name;
    napi_callback call;
  } methods[] = {
      {"listen", method<listen>}, {"tune", method<tune>}, {"accept", method<accept>}, {"refuse", method<refuse>}, {"linkSend", method<link_send>},
      {"linkClose", method<link_close>}, {"receiverPause", method<receiver_pause>},
      {"receiverIgnoreDeletes", method<receiver_ignore_deletes>},
      {"receiverOrphans", method<receiver_orphans>}, {"orphansStart", method<orphans_start>},
      {"quarantineList", method<quarantine_list>}, {"quarantineRetry", method<quarantine_retry>},
      {"receiverStatistics", method<receiver_statistics>}, {"sourceOpen", method<source_open>},
      {"sourceSuspend", method<source_suspend>}, {"sourceClose", method<source_close>}, {"sourceStatistics", method<source_statistics>},
      {"sourceContinue", method<source_continue>}, {"sourceRescan", method<source_rescan>},
      {"connectionOpen", method<connection_open>}, {"connectionClose", method<connection_close>},
      {"connectionStatistics", method<connection_statistics>}, {"connectionSend", method<connection_send>},
      {"connectionReconnect", method<connection_reconnect>}, {"mirrorStart", method<mirror_start>},
      {"mirrorPause", method<mirror_pause>}, {"mirrorResume", method<mirror_resume>}, {"mirrorStop", method<mirror_stop>},
      {"replicationStart", method<replication_start>}, {"replicationStop", method<replication_stop>},
      {"transmitPause", method<transmit_pause>}, {"transmitLimit", method<transmit_limit>},
      {"transmitBudget", method<transmit_budget>}, {"transmitCompression", method<transmit_compression>},
      {"transmitLink", method<transmit_link>}, {"barrier", method<barrier>},
      {"verify", method<verify>}, {"task", method<task>}, {"taskCancel", method<task_cancel>},
      {"receiverTaskDone", method<receiver_task_done>}, {"freeze", method<freeze>},
      {"freezeRelease", method<freeze_release>}, {"close", close_engine},
  };
  for (const auto& each : methods) {
    napi_value function;
    napi_create_function(env, each.name, NAPI_AUTO_LENGTH, each.call, host, &function);
    napi_set_named_property(env, object, each.name, function);
  }
  // Threads hold pointers to the host: it lives as long as the process, closed or not.
  return object;
}

}  // namespace understudy::binding
