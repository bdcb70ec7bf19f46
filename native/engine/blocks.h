// An array that grows by blocks and never moves what it holds: no second copy of everything while it grows, and
// references stay good. The blocks are pages of their own: what lives long does not hold fast, in the heap, the pages of
// what comes and goes around it. A page that was not used yet is not there.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

namespace understudy {

template <typename T, unsigned kBits>
class Blocks {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  static constexpr std::size_t kBlock = std::size_t{1} << kBits;   // elements of a block

  T& operator[](std::size_t at) { return blocks_[at >> kBits].get()[at & (kBlock - 1)]; }
  const T& operator[](std::size_t at) const { return blocks_[at >> kBits].get()[at & (kBlock - 1)]; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return blocks_.size() * kBlock * sizeof(T); }
  // One more, as `T{}`.
  T& grow() {
    claim(1);
    return *new (&(*this)[size_ - 1]) T{};
  }
  // Room for `count` more that lie in one piece, not initialised; what is left of a block that is too small for them is
  // given up. `count` is at most kBlock.
  std::size_t claim(std::size_t count) {
    const std::size_t left = blocks_.size() * kBlock - size_;
    if (left < count) {
      size_ += left;
      blocks_.push_back(block());
    }
    const std::size_t at = size_;
    size_ += count;
    return at;
  }

 private:
  static constexpr std::size_t kBytes = kBlock * sizeof(T);
  struct Free {
    void operator()(T* block) const { ::munmap(block, kBytes); }
  };
  static std::unique_ptr<T, Free> block() {
    void* pages = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) std::abort();   // As `new` does where there are no exceptions.
    return std::unique_ptr<T, Free>(static_cast<T*>(pages));
  }

  std::vector<std::unique_ptr<T, Free>> blocks_;
  std::size_t size_ = 0;
};

}  // namespace understudy
