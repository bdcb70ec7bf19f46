// Makes operations true on the target's file system (wire.h). Each operation states a fact, so applying it again does
// no harm; `rename` and exchange, which relate two names, are the exception and look at `doubtful`.
//
// One thread owns an Applier. Nothing outside of the roots is touched (path_beneath.h), no link is followed.
#pragma once

#include <functional>
#include <string>

#include "base.h"
#include "batch_reader.h"
#include "link_map.h"
#include "path_beneath.h"

namespace understudy {

// What was true just before an exchange of two names began: the inodes. Lives in the shared mark (marks.h), so that
// after a crash it can be told whether the exchange happened.
struct Evidence {
  u64 operation = 0;   // the id given to Applier::apply; 0: nothing recorded
  u64 first = 0;
  u64 second = 0;
};

// Things that went as well as they could, told once each: "ownership_not_preserved", "attribute_not_preserved",
// "node_not_created", "busy_file_replaced".
using ApplyNote = std::function<void(const char* kind, std::string detail, SysError error)>;

class Applier {
 public:
  // `roots`: descriptors, index = mapping; they and `evidence` outlive the applier.
  Applier(std::vector<int> roots, LinkMap links, Evidence* evidence, ApplyNote note);

  // To be called once by the thread which applies: gives that thread a umask of its own (zero), so that files get
  // their mode from open(2). Without it the mode is set by a call more.
  void adopt_thread();

  // `id` names the operation within its stream, never 0. `doubtful`: the process died while it applied this very
  // operation; it may have happened.
  Status apply(const OpView& op, u64 id, bool doubtful);

  // Closes the file kept open for the next operation. To be called after each batch, so that no replica stays busy.
  void settle();
  // Forgets cached directories: someone else may have moved them.
  void forget_directories();

  void set_ignore_deletes(bool ignore) { ignore_deletes_ = ignore; }
  u64 written_bytes() const { return written_; }
  u64 not_preserved() const { return not_preserved_; }
  bool has_own_umask() const { return own_umask_; }
  PathBeneath& paths() { return paths_; }

 private:
  Status apply_once(const OpView& op, u64 id, bool doubtful);

  // apply_content.cc
  Status file(const OpView& op);
  Status create(const OpView& op);
  Status write(const OpView& op);
  Status truncate(const OpView& op);
  Status punch(const OpView& op);
  bool is_current(const OpView& op) const;
  void keep(const OpView& op, Fd fd);
  enum class Missing { create, fail };
  Status open_current(const OpView& op, Missing missing);
  // Opens the regular file at `place` for writing; `status` is what it was before.
  Result<Fd> open_existing(const Place& place, std::string_view path, struct stat& status);
  Result<Fd> replace_busy(const Place& place, std::string_view path);
  Result<Fd> copy_in_place(const Place& place, std::string_view path);
  // Creates the file; EEXIST when the name is taken.
  Result<Fd> open_new(const Place& place, u32 mode);
  Result<bool> replace_whole(const OpView& op, const Place& place);
  // Contents, owner, mode, attributes and times of a file that was just made.
  Status fill_new(int fd, const OpView& op, const Place& place);
  // A new file in place of whatever is there, unless that is a regular file which may stay: then no descriptor.
  Result<Fd> make_way_and_open(const OpView& op, const Place& place, u32 mode);
  Status write_all(int fd, std::string_view data, u64 offset);

  // apply_names.cc
  Status mkdir(const OpView& op);
  Status symlink(const OpView& op);
  Status link(const OpView& op);
  Status mknod(const OpView& op);
  Status remove(const OpView& op);
  Status rename(const OpView& op, u64 id, bool doubtful);
  Status exchange(const OpView& op, const Place& from, const Place& to, u64 id, bool doubtful);
  // Removes whatever has the name, and what the caches know of it.
  Status clear_name(const Place& place, u32 mapping, std::string_view path);

  // apply_attributes.cc
  Status setattr(const OpView& op);
  Status xattrs(const OpView& op);
  // Owner, then mode, of an object behind a descriptor (O_PATH too); `now` is what it has.
  Status set_owner_and_mode(int fd, bool path_only, const struct stat& now, const wire::OpHeader& wanted,
                            std::string_view path);
  Status set_times(int fd, bool path_only, i64 mtime_ns);
  // The same for an object which this process created a moment ago and which therefore looks as `traits` say.
  Status dress_new(int fd, const Place& place, const wire::OpHeader& wanted, std::string_view path);
  bool new_needs_dress(const Place& place, const wire::OpHeader& wanted, bool directory);
  bool tolerate(const char* kind, std::string_view path, SysError error);

  PathBeneath paths_;
  LinkMap links_;
  Evidence* evidence_;
  ApplyNote note_;
  bool own_umask_ = false;
  bool ignore_deletes_ = false;
  const u32 uid_, gid_;
  u64 written_ = 0;
  u64 not_preserved_ = 0;
  u32 told_ = 0;

  // The file of the last content operation, open for writing.
  Fd current_;
  u32 current_mapping_ = 0;
  std::string current_path_;
};

inline constexpr char kTemporaryPrefix[] = ".understudy-";

// Something new takes a name that `old` has, in one step: whoever looks, or whatever is killed, finds one of the two.
// `make` makes it under the name it is given. False: a directory has the name, or it cannot be made.
bool take_name(const Place& place, const struct stat& old, const std::function<bool(const char* name)>& make);

}  // namespace understudy
