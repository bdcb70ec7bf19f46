// Answers of a target to a source's questions: what a directory holds, a file's block hashes, an object's digest.
// Runs inside the ordered applier, so an answer tells the state after everything before it in the stream (I1).
#pragma once

#include <atomic>
#include <functional>

#include "base.h"
#include "batch_reader.h"
#include "link_map.h"
#include "path_beneath.h"

namespace understudy {

inline constexpr std::size_t kManifestReplyBytesMax = 4u << 20;
inline constexpr std::size_t kHashesReplyBytesMax = 1u << 20;

// Receives each complete reply (ReplyHeader and body).
using ReplySink = std::function<void(Bytes reply)>;

class Answerer {
 public:
  // `stop`: ends a long answer early (ECANCELED). `own_cwd`: the calling thread has a working directory of its own
  // (unshare(CLONE_FS)); attribute lists are then asked for by name, which is the cheapest way.
  Answerer(PathBeneath& paths, const LinkMap& links, const std::atomic<bool>& stop)
      : paths_(paths), links_(links), stop_(stop) {}
  void set_own_cwd(bool own) { own_cwd_ = own; }

  // Answers a manifest, hashes or digest request. A failure becomes a reply with `error`; only ECANCELED and failures
  // which say nothing about the path (EIO, EMFILE ...) come back as such.
  Status answer(const OpView& op, const ReplySink& sink);

 private:
  Status manifest(const OpView& op, const ReplySink& sink);
  Status hashes(const OpView& op, const ReplySink& sink);
  Status digest(const OpView& op, const ReplySink& sink);
  // Fills all but name_len. `name` null: the object behind `fd`.
  Status describe(int fd, const char* name, bool in_cwd, wire::ManifestEntry& entry);
  Result<Fd> open_object(const OpView& op);   // O_PATH

  PathBeneath& paths_;
  const LinkMap& links_;
  const std::atomic<bool>& stop_;
  bool own_cwd_ = false;
};

}  // namespace understudy
