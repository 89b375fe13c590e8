// Threads that work on one thing together: each gets its number, and they meet at barriers.
//
// Who waits spins for a moment, for a training step follows a training step, then sleeps: on a machine that does other
// things as well, the one that is waited for may need the very processor that the spinning takes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#define RELAX __builtin_ia32_pause()
#else
#define RELAX ((void)0)
#endif

// A number that goes up, and those who wait for it to.
class Turn {
   public:
    unsigned now() const { return number_.load(std::memory_order_acquire); }

    void next() {
        number_.fetch_add(1);
        if (!asleep_.load()) return;  // whoever counts itself in from here on sees the new number
        std::lock_guard<std::mutex> held(mutex_);
        wake_.notify_all();
    }

    // `spins`: looks before it sleeps; ten thousand take a quarter of a millisecond, about.
    void wait(unsigned seen, int spins) {
        for (; now() == seen && spins; spins--) RELAX;
        if (now() != seen) return;
        std::unique_lock<std::mutex> held(mutex_);
        asleep_.fetch_add(1);
        wake_.wait(held, [&] { return number_.load() != seen; });
        asleep_.fetch_sub(1);
    }

   private:
    std::atomic<unsigned> number_{0};
    std::atomic<int> asleep_{0};
    std::mutex mutex_;
    std::condition_variable wake_;
};

constexpr int TOGETHER = 4000, BETWEEN = 20000;  // looks at a barrier, and between two pieces of work

class Team {
   public:
    explicit Team(int size) : size_(size) {
        threads_.reserve(size);
        try {
            for (int number = 1; number < size; number++) threads_.emplace_back([this, number] { serve(number); });
        } catch (const std::system_error&) {  // the system has no more; those that are there do the same work
            size_ = (int)threads_.size() + 1;
        }
    }

    ~Team() {
        ended_ = true;
        turn_.next();
        for (auto& thread : threads_) thread.join();
    }

    int size() const { return size_; }

    // work(number) by all, the caller among them as number 0; returns when everyone is through.
    void run(const std::function<void(int)>& work) {
        if (size_ == 1) return work(0);
        work_ = &work;
        turn_.next();
        work(0);
        barrier();
    }

    // Wait for everyone.
    void barrier() {
        if (size_ == 1) return;
        const unsigned seen = meeting_.now();
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < size_) return meeting_.wait(seen, TOGETHER);
        arrived_.store(0, std::memory_order_relaxed);
        meeting_.next();
    }

   private:
    void serve(int number) {
        for (unsigned seen = 0;; seen++) {
            turn_.wait(seen, BETWEEN);
            if (ended_) return;
            (*work_)(number);
            barrier();
        }
    }

    int size_;
    bool ended_ = false;
    const std::function<void(int)>* work_ = nullptr;
    Turn turn_, meeting_;
    std::atomic<int> arrived_{0};
    std::vector<std::thread> threads_;
};
