#include "throttle.h"

#include <cmath>

namespace understudy {

namespace {
constexpr i64 kWaitMaxNs = 500'000'000;
constexpr u64 kPieceMin = 256;   // smaller pieces would be mostly headers
}  // namespace

u64 Throttle::quantum(u64 rate, const Segments& segments) {
  const u64 smooth = std::max<u64>(segments.payload, rate / 200);
  const u64 wire = std::min<u64>(rate / 25, smooth + smooth / segments.payload * segments.header);
  return std::max(kPieceMin, segments.fits(wire));
}

double Throttle::depth(const Segments& segments) const {
  const u64 rate = rate_.load(std::memory_order_relaxed);
  // A piece, and on a slow line a little more, so that waking late costs nothing.
  return std::max(static_cast<double>(rate) * kDepth,
                  static_cast<double>(segments.cost(quantum(rate, segments))) + static_cast<double>(rate) * 0.02);
}

void Throttle::set_rate(u64 bytes_per_second) {
  std::lock_guard lock(mutex_);
  if (rate_ == bytes_per_second) return;
  rate_ = bytes_per_second;
  tokens_ = std::min(tokens_, 0.0);
}

Throttle::Grant Throttle::ask(i64 now_ns, u64 wanted, const Segments& segments) {
  std::lock_guard lock(mutex_);
  const u64 rate = rate_.load(std::memory_order_relaxed);
  if (rate == 0) return {wanted};
  const double fill = static_cast<double>(rate) * kAim;
  if (filled_ns_ == 0) filled_ns_ = now_ns;
  if (now_ns > filled_ns_) {
    tokens_ = std::min(depth(segments), tokens_ + static_cast<double>(now_ns - filled_ns_) * 1e-9 * fill);
    filled_ns_ = now_ns;
  }
  const u64 piece = std::min(wanted, quantum(rate, segments));
  const double need = static_cast<double>(segments.cost(piece));
  // A late thread catches up with larger pieces, but not with larger packets on a slow line.
  const u64 most = piece < segments.payload ? piece : segments.fits(static_cast<u64>(tokens_));
  if (tokens_ >= need) {
    const u64 bytes = std::min(wanted, std::max(piece, most));
    const double taken = static_cast<double>(segments.cost(bytes));
    tokens_ -= taken;
    return {bytes, 0, taken};
  }
  const double wait = (need - tokens_) / fill * 1e9;
  return {0, std::min(kWaitMaxNs, static_cast<i64>(wait) + 1)};
}

void Throttle::charge(double wire_bytes) {
  std::lock_guard lock(mutex_);
  if (rate_ != 0) tokens_ -= wire_bytes;
}

void Throttle::set_budget(u64 bytes) {
  std::lock_guard lock(mutex_);
  budget_ = bytes;
  spent_ = 0;
  exhausted_ = false;
}

bool Throttle::admit(u64 bytes) {
  std::lock_guard lock(mutex_);
  if (budget_ != kNoBudget && spent_ + reserved_ + bytes > budget_) {
    exhausted_ = true;
    return false;
  }
  reserved_ += bytes;
  return true;
}

void Throttle::release(u64 bytes) {
  std::lock_guard lock(mutex_);
  reserved_ -= std::min(reserved_, bytes);
}

}  // namespace understudy
