#pragma once

#include "server/history/past.hpp"
#include "server/service/answers.hpp"
#include "server/service/clock.hpp"
#include "server/store/history_store.hpp"
#include "server/sync.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace sema {

/// What is asked of a pool's history.
struct HistoryQuery {
    enum class What {
        leases,     ///< those that ended
        statistics  ///< how the pool was used
    };
    What what{};
    /// Since the Unix epoch; nothing: from the first that is kept on.
    std::optional<Duration> since{};
    /// Of leases.
    std::size_t limit = 100;
    std::optional<Position> position{};
    /// Of statistics: how it would have been with other counts, too.
    bool what_if = true;
};

/// What becomes of pools is written down by a thread of its own, at most a second later, so that it costs
/// borrowers next to nothing: what was not written yet is lost where the process is killed. The same thread
/// answers questions about the past, one after the other. It runs at a low priority, where
/// the system lets it.
///
/// Where the store fails or is slow, what was to be written is kept for a while and tried again: a hundred
/// thousand entries, half of which may be refusals; what comes then is dropped. Nothing else depends on it.
class History {
  public:
    /// How many of each part of a pool are kept (HistoryBounds::most).
    static constexpr std::size_t most_of_pool = 100'000;

    /// Where `age` is 0 nothing is written down, and what there is goes. `clock` must outlive it.
    /// `on_trouble` is given the failures of the store (a text without secrets; once a minute while it
    /// lasts), and an empty text when it works again.
    History(std::unique_ptr<HistoryStore> store, const Clock& clock, Duration age,
            std::function<void(const std::string&)> on_trouble = {});
    ~History();
    History(const History&) = delete;
    History& operator=(const History&) = delete;

    /// Starts the thread. Before it, or where there is none, a test calls go_on().
    void start();
    /// For how long entries are kept from now on. Any thread.
    void set_age(Duration age);
    bool is_kept() const { return age_.load() > Duration::zero(); }

    /// Any thread; never waits for the store.
    void add(std::vector<PoolPast>&& past);
    /// `now` is the pool as it is. Answer: HistoryListed, store_failed, shutting_down, or
    /// too_many_questions. Any thread.
    void ask(const PoolId& pool, std::shared_ptr<const PoolView> now, const HistoryQuery& query, Reply reply);

    /// Questions that were not answered yet are answered shutting_down, and so are all from now on.
    void drain();
    /// Writes what is left, and ends the thread.
    void stop();

    /// Writes what there is, answers one question and removes a little of what is not to be kept. Whether
    /// there is more to do.
    bool go_on();

  private:
    struct Question {
        PoolId pool;
        std::shared_ptr<const PoolView> now;
        HistoryQuery query;
        Reply reply;
    };
    using Time = std::chrono::steady_clock::time_point;

    void run();
    bool wait();
    void write();
    void prune();
    HistoryBounds bounds() const;
    std::int64_t kept_for() const;
    void report(const std::string& trouble);

    /// An answer of not long ago that took long to make.
    struct CachedAnswer {
        PoolId pool;
        HistoryQuery query;
        std::shared_ptr<const std::string_view> text;
        Time made;
        Time until;
    };

    std::optional<Question> next_question();
    std::shared_ptr<const std::string_view> cached_answer(const Question& question);
    void cache(const Question& question, Duration effort,
               const std::shared_ptr<const std::string_view>& text);
    Answer answer(const Question& question);
    Expected<std::string> list_leases(const Question& question);
    Expected<std::string> make_statistics(const Question& question);
    Expected<Past> past_of(const Question& question);
    Expected<std::vector<HistoryEntry>> leases_of(const Question& question, TimePoint since,
                                                  std::size_t most);
    TimePoint since_of(const HistoryQuery& query) const;

    const std::unique_ptr<HistoryStore> store_;
    const Clock& clock_;
    const std::function<void(const std::string&)> on_trouble_;
    std::atomic<Duration> age_;

    // The thread's.
    std::vector<PoolPast> unwritten_;
    Time next_try_{};
    std::vector<CachedAnswer> cached_;
    bool in_trouble_ = false;
    Time reported_at_{};

    Mutex mutex_;
    ConditionVariable changed_;
    std::vector<PoolPast> added_ GUARDED_BY(mutex_);
    /// Of those that are not written.
    std::size_t added_entries_ GUARDED_BY(mutex_) = 0;
    std::size_t added_refusals_ GUARDED_BY(mutex_) = 0;
    /// For which there was no room.
    std::size_t dropped_ GUARDED_BY(mutex_) = 0;
    /// Since when the first of them is there.
    Time added_at_ GUARDED_BY(mutex_){};
    std::deque<Question> questions_ GUARDED_BY(mutex_);
    Time next_prune_ GUARDED_BY(mutex_){};
    /// All of it is to go.
    bool clears_ GUARDED_BY(mutex_) = false;
    bool is_draining_ GUARDED_BY(mutex_) = false;
    bool is_stopping_ GUARDED_BY(mutex_) = false;
    std::atomic<bool> gives_up_{false};
    std::thread thread_;
};

}  // namespace sema
