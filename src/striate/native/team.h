// Threads that work on one thing together: each gets its number, and they meet at barriers.
//
// Between two pieces of work the others spin for a moment, for a training step follows a training step, then sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#define RELAX __builtin_ia32_pause()
#else
#define RELAX ((void)0)
#endif

class Team {
   public:
    explicit Team(int size) : size_(size) {
        for (int number = 1; number < size; number++) threads_.emplace_back([this, number] { serve(number); });
    }

    ~Team() {
        {
            std::lock_guard<std::mutex> held(mutex_);
            ended_ = true;
            turn_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        for (auto& thread : threads_) thread.join();
    }

    int size() const { return size_; }

    // work(number) by all, the caller among them as number 0; returns when everyone is through.
    void run(const std::function<void(int)>& work) {
        if (size_ == 1) return work(0);
        work_ = &work;
        {
            std::lock_guard<std::mutex> held(mutex_);
            turn_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        work(0);
        barrier();
    }

    // Wait for everyone.
    void barrier() {
        if (size_ == 1) return;
        const unsigned now = meeting_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
            arrived_.store(0, std::memory_order_relaxed);
            meeting_.store(now + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; meeting_.load(std::memory_order_acquire) == now; spins++) {
            RELAX;
            if (spins > 5000) std::this_thread::yield();  // somebody else has our processor
        }
    }

   private:
    void serve(int number) {
        unsigned seen = 0;
        for (;;) {
            for (int spins = 0; turn_.load(std::memory_order_acquire) == seen && spins < 20000; spins++) RELAX;
            if (turn_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> held(mutex_);
                wake_.wait(held, [&] { return turn_.load(std::memory_order_acquire) != seen; });
            }
            seen = turn_.load(std::memory_order_acquire);
            if (ended_) return;
            (*work_)(number);
            barrier();
        }
    }

    int size_;
    bool ended_ = false;
    const std::function<void(int)>* work_ = nullptr;
    std::atomic<unsigned> turn_{0}, meeting_{0};
    std::atomic<int> arrived_{0};
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> threads_;
};
