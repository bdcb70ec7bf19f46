#include "apply.h"

#include <sched.h>
#include <sys/stat.h>

namespace understudy {

using wire::OpKind;

Applier::Applier(std::vector<int> roots, LinkMap links, Evidence* evidence, ApplyNote note)
    : paths_(std::move(roots)),
      links_(std::move(links)),
      evidence_(evidence),
      note_(std::move(note)),
      uid_(::geteuid()),
      gid_(::getegid()) {}

void Applier::adopt_thread() {
  if (::unshare(CLONE_FS) != 0) return;   // refused by a seccomp filter: files then get their mode by fchmod
  ::umask(0);
  own_umask_ = true;
}

void Applier::settle() {
  current_.reset();
  current_path_.clear();
}

void Applier::forget_directories() { paths_.clear(); }

bool Applier::tolerate(const char* kind, std::string_view path, SysError error) {
  if (uid_ == 0 || (error.code != EPERM && error.code != EACCES)) return false;
  ++not_preserved_;
  const u32 bit = kind[0] == 'o' ? 1 : kind[0] == 'a' ? 2 : 4;
  if (!(told_ & bit)) {
    told_ |= bit;
    note_(kind, std::string(path), std::move(error));
  }
  return true;
}

Status Applier::apply(const OpView& op, u64 id, bool doubtful) {
  paths_.reset_served();
  auto status = apply_once(op, id, doubtful);
  if (status || !paths_.served_from_cache()) return status;
  switch (status.error().code) {
    case ENOENT:
    case ENOTDIR:
    case ESTALE: {
      // A cached directory may have been moved or removed by someone else on this server: look again from the root.
      settle();
      paths_.clear();
      return apply_once(op, id, doubtful);
    }
    default:
      return status;
  }
}

Status Applier::apply_once(const OpView& op, u64 id, bool doubtful) {
  const auto kind = static_cast<OpKind>(op.header.kind);
  switch (kind) {
    case OpKind::write: return write(op);
    case OpKind::truncate: return truncate(op);
    case OpKind::punch: return punch(op);
    case OpKind::setattr: return setattr(op);
    case OpKind::xattrs: return xattrs(op);
    default: break;
  }
  settle();
  switch (kind) {
    case OpKind::mkdir: return mkdir(op);
    case OpKind::file: return file(op);
    case OpKind::create: return create(op);
    case OpKind::symlink: return symlink(op);
    case OpKind::link: return link(op);
    case OpKind::mknod: return mknod(op);
    case OpKind::remove: return remove(op);
    case OpKind::rename: return rename(op, id, doubtful);
    default: return SysError{EINVAL, "apply"};   // requests are the receiver's
  }
}

}  // namespace understudy
