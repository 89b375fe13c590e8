// Threads that work on one thing together, in stretches of items that are each done once, by whoever comes to them.
//
// Nobody waits for a thread, only for items that somebody is at: on a machine that does other things as well a processor
// may be slow, or away for longer than the whole work takes.  Who comes late finds the items taken and catches up.
//
// Who waits spins for a moment, for a training step follows a training step, then sleeps: the one that is waited for may
// need the very processor that the spinning takes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "vector.h"

#if defined(__x86_64__) || defined(__i386__)
#define RELAX __builtin_ia32_pause()
#else
#define RELAX ((void)0)
#endif

// Whether a count that goes up, and begins anew after its largest number, has come so far.
INLINE bool reached(unsigned count, unsigned goal) { return (int)(count - goal) >= 0; }

// A number that goes up, and those who wait for it.
class Counter {
   public:
    unsigned now() const { return number_.load(std::memory_order_acquire); }

    // `goal`: a number that somebody may be waiting for.
    void next(unsigned goal) {
        if (number_.fetch_add(1) + 1 != goal || !asleep_.load()) return;  // who goes to sleep from here on looks first
        std::lock_guard<std::mutex> held(mutex_);
        wake_.notify_all();
    }

    // `spins`: looks before it sleeps; ten thousand take a quarter of a millisecond, about.
    void wait(unsigned goal, int spins) {
        for (; !reached(now(), goal) && spins; spins--) RELAX;
        if (reached(now(), goal)) return;
        std::unique_lock<std::mutex> held(mutex_);
        asleep_.fetch_add(1);
        wake_.wait(held, [&] { return reached(number_.load(), goal); });
        asleep_.fetch_sub(1);
    }

   private:
    std::atomic<unsigned> number_{0};
    std::atomic<int> asleep_{0};
    std::mutex mutex_;
    std::condition_variable wake_;
};

// Items by number, each with the last stretch in which somebody took it.
class Items {
   public:
    explicit Items(int number) : number_(number), taken_(new std::atomic<unsigned>[number]()) {}

    int number() const { return number_; }

    // f of every item that this thread is the first to come to: of `threads` each begins with its own, so that an item
    // is mostly where it was the last time.
    template <class F>
    void take(int thread, int threads, unsigned stretch, F&& f) {
        for (int n = 0, owner = thread; n < threads; n++, owner = owner + 1 < threads ? owner + 1 : 0) {
            const int own = owner < number_ ? (number_ - owner - 1) / threads + 1 : 0;
            for (int k = 0; k < own; k++) {
                const int which = owner + (n ? own - 1 - k : k) * threads;  // of others the last first
                unsigned seen = taken_[which].load(std::memory_order_relaxed);
                if (!reached(seen, stretch) && taken_[which].compare_exchange_strong(seen, stretch)) f(which);
            }
        }
    }

   private:
    int number_;
    std::unique_ptr<std::atomic<unsigned>[]> taken_;
};

constexpr int TOGETHER = 10000, BETWEEN = 20000;  // looks within a piece of work, and between two

// The same piece of work again and again, of the same stretches.
class Team {
   public:
    // Where a thread is in the work.
    struct Place {
        int thread;
        unsigned stretch, due;
    };

    // work(place) by all, each time that it is run: it takes `stretches` of them with `items` in all.
    Team(int size, std::function<void(Place&)> work) : size_(size), work_(std::move(work)) {}

    ~Team() { end(); }

    void begin(unsigned stretches, unsigned items) {
        stretches_ = stretches, items_ = items;
        threads_.reserve(size_);
        try {
            for (int number = 1; number < size_; number++) threads_.emplace_back([this, number] { serve(number); });
        } catch (const std::system_error&) {  // the system has no more; those that are there do the same work
        }
    }

    // No thread is in the work, or comes to it, from here on.
    void end() {
        ended_ = true;
        turn_.next(turn_.now() + 1);
        for (auto& thread : threads_) thread.join();
        threads_.clear();
    }

    int size() const { return size_; }

    // The work once more, by all, the caller among them as number 0.
    void run() {
        const unsigned turn = turn_.now();
        turn_.next(turn + 1);
        work_at(0, turn);
    }

    // A stretch: every thread comes here in the same order.  Returns when all items are done.
    template <class F>
    void share(Place& at, Items& items, F&& f) {
        at.stretch++, at.due += items.number();
        items.take(at.thread, size_, at.stretch, [&](int which) {
            f(which);
            done_.next(at.due);
        });
        done_.wait(at.due, TOGETHER);
    }

   private:
    void serve(int number) {
        for (unsigned seen = 0;;) {
            turn_.wait(seen + 1, BETWEEN);
            seen = turn_.now();  // the latest: some may have gone by
            if (ended_) return;  // looked at only now: the latest may be the end, which is no turn
            work_at(number, seen - 1);
        }
    }

    void work_at(int number, unsigned turn) {
        Place place{number, turn * stretches_, turn * items_};
        work_(place);
    }

    int size_;
    unsigned stretches_ = 0, items_ = 0;
    std::atomic<bool> ended_{false};
    std::function<void(Place&)> work_;
    Counter turn_, done_;
    std::vector<std::thread> threads_;
};
