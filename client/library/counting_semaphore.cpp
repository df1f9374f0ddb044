#include "client/library/held.hpp"
#include "client/library/permits.hpp"
#include "client/library/waiting.hpp"

#include <sema/counting_semaphore.hpp>

#include <deque>
#include <exception>
#include <iterator>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

namespace sema {
inline namespace v1 {

namespace detail {

// Where two clients make it at once with different counts, it gets one of them.
unsigned ensure_pool(semaphore& pool, unsigned count) {
    try {
        return pool.state().count;
    } catch (const error& why) {
        if (why.code() != errc::no_such_pool) throw;
    }
    return pool.create(count).count;
}

std::optional<std::error_code> give_back_all(std::deque<lease> leases, Duration limit) {
    struct Rest {
        std::mutex mutex;
        std::size_t left;
        std::error_code trouble{};
        Promised<std::error_code> done{};
    };
    if (leases.empty()) return std::error_code();
    const auto rest = std::make_shared<Rest>();
    rest->left = leases.size();
    for (lease& each : leases) {
        each.start_give_back([rest](std::error_code code, bool was_held) {
            const std::lock_guard lock(rest->mutex);
            if (!code && !was_held) code = errc::lease_lost;
            if (!rest->trouble) rest->trouble = code;
            if (--rest->left == 0) rest->done.give(rest->trouble);
        });
    }
    if (!rest->done.wait_for(limit)) return std::nullopt;
    return rest->done.wait();
}

}  // namespace detail

namespace {

using namespace std::chrono_literals;

// How long the destructor waits.
constexpr Duration short_patience = 1500ms;

[[noreturn]] void refuse(std::error_code code, const char* what) {
    throw error(code, what);
}

unsigned checked(std::ptrdiff_t initial) {
    if (initial < 0 || initial > std::numeric_limits<int>::max())
        refuse(std::make_error_code(std::errc::invalid_argument), "the initial value");
    return static_cast<unsigned>(initial);
}

acquire_options for_one(acquire_options options) {
    options.wait = forever;
    options.slots = 1;
    return options;
}

}  // namespace

class counting_semaphore::impl {
  public:
    impl(client& client, std::string_view pool, std::ptrdiff_t initial, bool is_bounded,
         const acquire_options& options)
        : pool_(client, pool),
          options_(for_one(options)),
          is_bounded_(is_bounded),
          initial_(detail::ensure_pool(pool_, checked(initial))) {}

    ~impl() {
        try {
            detail::give_back_all(std::move(permits_), is_clients_thread() ? 0s : short_patience);
        } catch (const std::exception&) {
            // Out of memory, most likely. The permits come back at the end of their ttl.
        }
    }
    impl(const impl&) = delete;
    impl& operator=(const impl&) = delete;

    /// In a child process the permits and their mutex may be as another thread was changing them.
    bool is_here() const { return detail::Access::core_of(pool_)->is_here(); }
    semaphore& pool() { return pool_; }
    const acquire_options& options() const { return options_; }
    std::ptrdiff_t initial() const { return initial_; }

    void keep(lease permit) {
        permit.on_lost([lost = lost_]() mutable { lost.request_stop(); });
        const std::lock_guard lock(mutex_);
        permits_.push_back(std::move(permit));
    }

    void release(std::ptrdiff_t n) {
        if (n < 1) refuse(std::make_error_code(std::errc::invalid_argument), "release");
        if (!is_here()) detail::raise(detail::closed());
        if (is_clients_thread()) detail::raise(detail::deadlock());
        std::deque<lease> permits = take(n);
        const std::ptrdiff_t missing = n - static_cast<std::ptrdiff_t>(permits.size());
        try {
            if (missing > 0) pool_.resize(missing);
        } catch (const error&) {
            put_back(std::move(permits));
            throw;
        }
        const auto trouble = detail::give_back_all(std::move(permits), longest_duration);
        if (trouble && *trouble) refuse(*trouble, "release");
    }

    std::ptrdiff_t held() const {
        if (!is_here()) return 0;
        const std::lock_guard lock(mutex_);
        return static_cast<std::ptrdiff_t>(permits_.size());
    }

    // As after a stop of the process, the permits' clocks may know of a loss before the client's thread does.
    // Callbacks of a loss run in here then, so not under the lock.
    std::stop_token lost() const {
        if (!is_here()) return detail::lost_in_child();
        std::vector<std::shared_ptr<detail::Held>> permits;
        {
            const std::lock_guard lock(mutex_);
            for (const lease& permit : permits_)
                permits.push_back(detail::Access::held_of(permit));
        }
        for (const auto& permit : permits)
            if (permit->lost().stop_requested()) std::stop_source(lost_).request_stop();
        return lost_.get_token();
    }

  private:
    // Which returns the leases, and would wait for itself.
    bool is_clients_thread() const { return detail::Access::core_of(pool_)->is_own_thread(); }

    // As many as there are; nothing where a bounded one has too few.
    std::deque<lease> take(std::ptrdiff_t n) {
        std::deque<lease> taken;
        const std::lock_guard lock(mutex_);
        const auto all = static_cast<std::ptrdiff_t>(permits_.size());
        if (is_bounded_ && n > all) refuse(errc::not_held, "release");
        for (std::ptrdiff_t i = 0; i < n && !permits_.empty(); ++i) {
            taken.push_back(std::move(permits_.front()));
            permits_.pop_front();
        }
        return taken;
    }

    void put_back(std::deque<lease> permits) {
        const std::lock_guard lock(mutex_);
        permits_.insert(permits_.begin(), std::make_move_iterator(permits.begin()),
                        std::make_move_iterator(permits.end()));
    }

    semaphore pool_;
    const acquire_options options_;
    const bool is_bounded_;
    const std::ptrdiff_t initial_;
    std::stop_source lost_;
    mutable std::mutex mutex_;
    /// The oldest first.
    std::deque<lease> permits_;
};

counting_semaphore::counting_semaphore(client& client, std::string_view pool, std::ptrdiff_t initial,
                                       const acquire_options& options)
    : impl_(std::make_unique<impl>(client, pool, initial, /*is_bounded=*/true, options)) {}

counting_semaphore::counting_semaphore(client& client, std::string_view pool, std::ptrdiff_t initial,
                                       unbounded_t, const acquire_options& options)
    : impl_(std::make_unique<impl>(client, pool, initial, /*is_bounded=*/false, options)) {}

counting_semaphore::~counting_semaphore() {
    if (!impl_->is_here()) static_cast<void>(impl_.release());
}

void counting_semaphore::acquire() {
    impl_->keep(impl_->pool().acquire(impl_->options()));
}

bool counting_semaphore::try_acquire() {
    return keep(impl_->pool().try_acquire(impl_->options()));
}

void counting_semaphore::release(std::ptrdiff_t n) {
    impl_->release(n);
}

std::ptrdiff_t counting_semaphore::value() const {
    return impl_->pool().state().available;
}

std::ptrdiff_t counting_semaphore::initial_value() const noexcept {
    return impl_->initial();
}

bool counting_semaphore::locked() const {
    return value() == 0;
}

std::ptrdiff_t counting_semaphore::held() const {
    return impl_->held();
}

std::stop_token counting_semaphore::lost() const {
    return impl_->lost();
}

bool counting_semaphore::keep(std::optional<lease> permit) {
    if (!permit) return false;
    impl_->keep(*std::move(permit));
    return true;
}

semaphore& counting_semaphore::pool() const {
    return impl_->pool();
}

const acquire_options& counting_semaphore::options() const {
    return impl_->options();
}

}  // namespace v1
}  // namespace sema
