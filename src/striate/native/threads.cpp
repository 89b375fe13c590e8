// The pool.  A job is open while its caller works on it; a worker who finds it open joins, who comes late sleeps on.
#include "threads.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>

#include "vector.h"

namespace {

constexpr int AWAKE = 2000;  // looks at the door, some 50 microseconds, before a thread sleeps

struct Job {
    void (*work)(void*, int64_t, int);
    void* context;
    int64_t pieces;
    int places;    // how many more may join
    unsigned mode;  // of the caller's arithmetic: whether denormal numbers are 0
};

pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t come = PTHREAD_COND_INITIALIZER, gone = PTHREAD_COND_INITIALIZER;
Job job;                             // behind the door, as `made` is
int made = 0;                        // threads of the pool
bool told = false;                   // that a fork is to be heard of
std::atomic<unsigned> calls{0};      // jobs so far
std::atomic<int> inside{0};          // workers at the job
std::atomic<int64_t> next{0};        // piece
std::atomic<bool> taken{false};      // by a caller

INLINE void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

unsigned mode_here() {
#if defined(__SSE2__)
    return __builtin_ia32_stmxcsr();
#else
    return 0;
#endif
}

void take_mode(unsigned mode) {
#if defined(__SSE2__)
    __builtin_ia32_ldmxcsr(mode);
#else
    (void)mode;
#endif
}

void pieces_of(const Job& now, int who) {
    for (int64_t piece; (piece = next.fetch_add(1, std::memory_order_relaxed)) < now.pieces;)
        now.work(now.context, piece, who);
}

void* worker(void*) {
    for (unsigned seen = 0;;) {
        for (int look = 0; look < AWAKE && calls.load(std::memory_order_acquire) == seen; look++) pause_briefly();
        pthread_mutex_lock(&door);
        while (calls.load() == seen) pthread_cond_wait(&come, &door);
        seen = calls.load();
        const bool joins = job.places > 0;
        const int who = joins ? job.places-- : 0;
        const Job now = job;
        if (joins) inside.fetch_add(1);
        pthread_mutex_unlock(&door);
        if (!joins) continue;
        take_mode(now.mode);
        pieces_of(now, who);
        pthread_mutex_lock(&door);
        if (inside.fetch_sub(1, std::memory_order_acq_rel) == 1) pthread_cond_signal(&gone);
        pthread_mutex_unlock(&door);
    }
    return nullptr;
}

void after_fork() {  // the child has none of the threads, and somebody else may have held the door
    door = PTHREAD_MUTEX_INITIALIZER;
    come = gone = PTHREAD_COND_INITIALIZER;
    made = 0;
    inside = 0;
    taken = false;
}

// With the door held.  Signals are for the program's own threads.
void make(int wanted) {
    if (!told) told = pthread_atfork(nullptr, nullptr, after_fork) == 0;
    if (!told || made >= wanted) return;
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    pthread_t thread;
    while (made < wanted && pthread_create(&thread, nullptr, worker, nullptr) == 0) {
        pthread_detach(thread);
        made++;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void together(const Job& now) {
    pthread_mutex_lock(&door);
    make(now.places);
    job = now;
    next.store(0);
    calls.fetch_add(1, std::memory_order_release);
    pthread_cond_broadcast(&come);
    pthread_mutex_unlock(&door);
    pieces_of(now, 0);
    pthread_mutex_lock(&door);
    job.places = 0;  // nobody joins any more
    pthread_mutex_unlock(&door);
    for (int look = 0; look < AWAKE && inside.load(std::memory_order_acquire); look++) pause_briefly();
    pthread_mutex_lock(&door);
    while (inside.load()) pthread_cond_wait(&gone, &door);
    pthread_mutex_unlock(&door);
}

}  // namespace

void in_pieces(int64_t pieces, int threads, void (*work)(void*, int64_t, int), void* context) {
    if (threads > pieces) threads = int(pieces);
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads > 1 && !taken.exchange(true, std::memory_order_acquire)) {
        together({work, context, pieces, threads - 1, mode_here()});
        taken.store(false, std::memory_order_release);
        return;
    }
    for (int64_t piece = 0; piece < pieces; piece++) work(context, piece, 0);
}
