#include "capture.h"

#include "probe.h"

namespace understudy {

Result<std::unique_ptr<Capture>> open_capture(std::string_view mode, const CaptureOptions& options,
                                              const std::vector<CaptureRoot>& roots, int wake_fd,
                                              std::string& degraded) {
  degraded.clear();
  if (mode != "auto" && mode != "fanotify" && mode != "inotify") return SysError{EINVAL, "open_capture"};
  if (mode != "inotify") {
    Result<std::unique_ptr<Capture>> capture = open_fanotify(options);
    SysError refused;
    if (!capture) {
      refused = capture.error();
    } else if (Status started = (*capture)->start(roots, wake_fd); !started) {
      refused = started.error();
    } else {
      return capture;
    }
    if (mode == "fanotify") return refused;
    degraded = "fanotify cannot be used: " + explain_fanotify_refusal(refused) + "; watching each directory by inotify";
  }
  Result<std::unique_ptr<Capture>> capture = open_inotify(options);
  if (!capture) return capture.error();
  if (Status started = (*capture)->start(roots, wake_fd); !started) return started.error();
  return capture;
}

}  // namespace understudy
