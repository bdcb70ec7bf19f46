// The roots of a set: each cycle makes sure that they are the directories that they were (I11), on the file systems that
// they were on, and that these are under capture.
#include <sys/stat.h>
#include <sys/vfs.h>

#include "capture_mounts.h"
#include "source.h"

namespace understudy {

namespace {
constexpr i64 kRootCheckNs = 1'000'000'000;

// File system and inode: survives a reboot, unlike device numbers.
std::string identity_of(int fd, const struct stat& stat) {
  struct statfs fs;
  if (::fstatfs(fd, &fs) != 0) return {};
  return std::to_string(static_cast<u64>(fs.f_type)) + ":" + std::to_string(static_cast<u32>(fs.f_fsid.__val[0])) + "." +
         std::to_string(static_cast<u32>(fs.f_fsid.__val[1])) + ":" + std::to_string(stat.st_ino);
}
}  // namespace

void Source::close_roots() {
  fds_.clear();
  retired_.clear();
  for (CaptureRoot& root : roots_) {
    if (root.fd >= 0) ::close(root.fd);
    root.fd = -1;
  }
  roots_open_ = false;
}

void Source::root_problem(const std::string& detail) {
  close_roots();
  if (stopped_) return;
  stopped_ = true;
  if (capture_) capture_->stop();
  capture_.reset();
  tell_(Fact("source_stopped").with("source", i64{options_.id}).with("why", std::string("root_changed")).with("detail", detail)
            .with("deleted", 0).with("total", static_cast<i64>(shadow_.count())));
}

// Opens the roots for this cycle and makes sure that each is the directory it was (I11): an unmounted file system
// shows an empty directory, and nothing may be concluded from that.
bool Source::open_roots() {
  if (roots_open_) return true;
  const i64 now = monotonic_ns();
  if (stopped_ && now - root_check_ns_ < kRootCheckNs) return false;
  root_check_ns_ = now;
  std::vector<bool> same(roots_.size());   // as it was when it was seen last
  std::vector<struct stat> stats(roots_.size());
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    Fd fd(::open(roots_[i].path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fstat(fd.get(), &stats[i]) != 0) {
      root_problem(roots_[i].path + ": " + std::strerror(errno));
      return false;
    }
    const std::string identity = identity_of(fd.get(), stats[i]);
    same[i] = identities_[i] == identity;
    if (identities_[i].empty() || (accept_roots_ && stopped_)) identities_[i] = identity;
    if (identities_[i] != identity) {
      root_problem(roots_[i].path + " is not the directory it was (" + identity + " in place of " + identities_[i] +
                   "): unmounted or replaced");
      return false;
    }
    roots_[i].fd = fd.release();
  }
  roots_open_ = true;
  if (stopped_) {
    stopped_ = accept_roots_ = false;
    tell_(Fact("source_continues").with("source", i64{options_.id}));
  }
  renumber(same, stats);
  // Marks and watches end with a file system's last mount, and one that was mounted again meanwhile has none.
  std::vector<u64> mounts;
  for (const CaptureRoot& root : roots_) mounts.push_back(mount_mark(root.fd));
  const bool mounted_anew = capture_ && mounts != mounts_;
  mounts_ = std::move(mounts);
  if (mounted_anew) {
    capture_->stop();
    capture_.reset();
  }
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    const NodeId root = static_cast<NodeId>(i + 1);
    shadow_.set_identity(root, stats[i].st_dev, stats[i].st_ino);
    // A root of a new shadow: a directory, of which the scan will learn the rest.
    if (shadow_.mode(root) == 0) shadow_.set_attributes(root, Attributes{.mode = S_IFDIR});
  }
  if (!capture_) {
    if (!start_capture()) {
      close_roots();
      return false;
    }
    if (mounted_anew) lost("a file system was mounted anew");
    else doubt();
    publish();
  }
  return true;
}

// A known file system on a device of another number: the next boot found its disks in another order, or it was mounted
// anew. Its objects are the ones that they were (I2: nothing is told again).
void Source::renumber(const std::vector<bool>& same, const std::vector<struct stat>& stats) {
  std::vector<std::pair<u64, u64>> devices;
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    const u64 before = shadow_.device(shadow_.at(static_cast<NodeId>(i + 1)).device);
    if (before != 0 && same[i] && stats[i].st_dev != before) devices.emplace_back(before, stats[i].st_dev);
  }
  if (devices.empty()) return;
  shadow_.renumber(devices);
  for (auto& [object, written] : written_)
    for (const auto& [from, to] : devices)
      if (written.device == from) {
        written.device = to;
        break;
      }
}

bool Source::start_capture() {
  std::string degraded;
  Result<std::unique_ptr<Capture>> capture = open_capture(options_.capture, CaptureOptions{}, roots_, wake_.get(), degraded);
  if (!capture) {
    root_problem(std::string("capture cannot start: ") + capture.error().call + ": " + std::strerror(capture.error().code));
    return false;
  }
  capture_ = std::move(*capture);
  open_ranges();
  if (!degraded.empty() && degraded != degraded_) {
    degraded_ = degraded;
    tell_(Fact("source_degraded").with("source", i64{options_.id}).with("why", std::string("capture")).with("detail", degraded));
  }
  return true;
}

}  // namespace understudy
