/// @file
/// The library's asynchronous calls for Asio: completion tokens, executors, cancellation, coroutines. Of
/// headers alone: the library itself knows no Asio. Boost.Asio 1.26 (Boost 1.81) or later, or, where
/// SEMA_ASIO_STANDALONE is defined, standalone Asio 1.25 or later with any_completion_handler.
#pragma once

#include <sema/process.hpp>
#include <sema/sema.hpp>

#if defined(SEMA_ASIO_STANDALONE)
#include <asio/any_completion_handler.hpp>
#include <asio/as_tuple.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_state.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/co_spawn.hpp>
#include <asio/deferred.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution/outstanding_work.hpp>
#include <asio/execution_context.hpp>
#include <asio/experimental/parallel_group.hpp>
#include <asio/post.hpp>
#include <asio/prefer.hpp>
#include <asio/query.hpp>
#include <asio/strand.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#else
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#endif

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace sema {
inline namespace v1 {
namespace detail {

#if defined(SEMA_ASIO_STANDALONE)
namespace net = ::asio;
#else
namespace net = ::boost::asio;
#endif

/// A call under way, whatever its handler is.
class AsioDroppable {
  public:
    virtual ~AsioDroppable() = default;
    /// Ends it without its handler being called.
    virtual void drop() = 0;
};

/// The calls whose handlers belong to an execution context. Where that is destroyed before they are over,
/// they are dropped, as Asio does with operations of its own. Thread-safe. In a child process, where the
/// mutex may never be free, those of the parent are left as they are.
class AsioCalls {
  public:
    void add(const std::shared_ptr<AsioDroppable>& call) {
        if (!process_.is_here()) return;
        const std::lock_guard lock(mutex_);
        calls_.insert_or_assign(call.get(), call);
    }
    void remove(const AsioDroppable* call) {
        if (!process_.is_here()) return;
        const std::lock_guard lock(mutex_);
        calls_.erase(call);
    }
    void drop_all() {
        if (!process_.is_here()) return;
        std::unordered_map<const AsioDroppable*, std::weak_ptr<AsioDroppable>> calls;
        {
            const std::lock_guard lock(mutex_);
            calls.swap(calls_);
        }
        for (const auto& [key, known] : calls)
            if (const auto call = known.lock()) call->drop();
    }

  private:
    const Process process_{};
    std::mutex mutex_;
    std::unordered_map<const AsioDroppable*, std::weak_ptr<AsioDroppable>> calls_;
};

/// Asio calls its shutdown() at the end of the context, and its notify_fork() where the program calls the
/// context's.
class AsioContext : public net::execution_context::service {
  public:
    using key_type = AsioContext;
    inline static net::execution_context::id id;

    explicit AsioContext(net::execution_context& context) : service(context) {}
    const std::shared_ptr<AsioCalls>& calls() const { return calls_; }

  private:
    void shutdown() override { calls_->drop_all(); }
    void notify_fork(net::execution_context::fork_event event) override {
        if (event != net::execution_context::fork_child) return;
        // Another thread may have been changing the parent's at the fork: they are not even to be destroyed.
        static_cast<void>(new std::shared_ptr<AsioCalls>(std::move(calls_)));
        calls_ = std::make_shared<AsioCalls>();
    }

    std::shared_ptr<AsioCalls> calls_ = std::make_shared<AsioCalls>();
};

/// The calls of an executor's context, where it has one that Asio made.
template <class Executor>
std::shared_ptr<AsioCalls> asio_calls_of(const Executor& executor) {
    if constexpr (net::can_query_v<const Executor&, net::execution::context_t>) {
        using Context = decltype(net::query(executor, net::execution::context));
        if constexpr (std::is_convertible_v<Context, net::execution_context&>)
            return net::use_service<AsioContext>(net::query(executor, net::execution::context)).calls();
    }
    return nullptr;
}

/// An asynchronous call under way: its handler, and what keeps the handler's executor at work until then.
template <class Handler>
class AsioCall : public AsioDroppable, public std::enable_shared_from_this<AsioCall<Handler>> {
  public:
    static std::shared_ptr<AsioCall> begin(Handler handler) {
        auto call = std::make_shared<AsioCall>(std::move(handler));
        if (call->others_) call->others_->add(call);
        return call;
    }

    /// For begin() alone.
    explicit AsioCall(Handler handler)
        : handler_(std::move(handler)),
          work_(
              net::prefer(net::get_associated_executor(*handler_), net::execution::outstanding_work.tracked)),
          slot_(net::get_associated_cancellation_slot(*handler_)),
          others_(asio_calls_of(net::get_associated_executor(*handler_))) {}

    /// Has a function called where the handler is cancelled, in the thread that cancels, or dropped.
    template <class Cancel>
    void cancel_by(Cancel cancel) {
        if (slot_.is_connected()) {
            slot_.assign([cancel](net::cancellation_type type) mutable {
                if (type != net::cancellation_type::none) cancel();
            });
        }
        const std::lock_guard lock(mutex_);
        if (!is_over_) cancel_ = std::move(cancel);
    }

    /// Has the handler called on its executor. Once, in any thread.
    template <class... Values>
    void complete(Values... values) {
        const auto self = this->shared_from_this();
        std::function<void()> cancel;
        {
            // The executor's context lasts until this is over: drop() waits for it, and so does the work
            // while the executor is still being given the handler.
            const std::lock_guard lock(mutex_);
            if (std::exchange(is_over_, true)) return;
            cancel.swap(cancel_);
            Handler handler = *std::move(handler_);
            handler_.reset();
            [[maybe_unused]] const auto work = *std::move(work_);
            work_.reset();
            const auto executor = net::prefer(work, net::execution::outstanding_work.untracked);
            // The handler goes with the context where that ends first.
            net::post(executor,
                      [slot = slot_, handler = std::move(handler), ... values = std::move(values)]() mutable {
                          if (slot.is_connected()) slot.clear();
                          std::move(handler)(std::move(values)...);
                      });
        }
        if (others_) others_->remove(this);
    }

    void drop() override {
        std::function<void()> cancel;
        {
            const std::lock_guard lock(mutex_);
            if (std::exchange(is_over_, true)) return;
            cancel.swap(cancel_);
            work_.reset();
        }
        if (cancel) cancel();
        handler_.reset();
    }

  private:
    using Executor = net::associated_executor_t<Handler>;
    std::mutex mutex_;
    /// It was completed or dropped.
    bool is_over_ = false;
    std::function<void()> cancel_;
    std::optional<Handler> handler_;
    std::optional<std::decay_t<decltype(net::prefer(std::declval<Executor>(),
                                                    net::execution::outstanding_work.tracked))>>
        work_;
    net::associated_cancellation_slot_t<Handler> slot_;
    const std::shared_ptr<AsioCalls> others_;
};

}  // namespace detail

/// semaphore::acquire() as an asynchronous operation: `void(std::error_code, sema::lease)`. The handler is
/// called on its associated executor, never in here. Any cancellation of the operation takes the borrower out
/// of the queue at once, and completes it with errc::cancelled (equal to `std::errc::operation_canceled`);
/// what it may have been granted in the same moment is given back.
///
/// Where the executor's context is destroyed before, the borrower leaves the queue too, and the handler is
/// destroyed without a call, as those of Asio's own operations are.
///
/// With Boost.Asio, whose error codes are others, `co_await async_acquire(pool, options, use_awaitable)`
/// throws nothing and gives both values: a `std::tuple<std::error_code, sema::lease>`. With standalone Asio
/// it gives the lease, and throws std::system_error.
///
/// g++ 12 breaks off at a temporary in braces that stands in a `co_await`, or destroys it twice: `options` is
/// a variable there, or left out.
template <class CompletionToken>
auto async_acquire(semaphore pool, acquire_options options, CompletionToken&& token) {
    return detail::net::async_initiate<CompletionToken, void(std::error_code, lease)>(
        [](auto handler, semaphore pool_of, const acquire_options& wanted) {
            using Call = detail::AsioCall<decltype(handler)>;
            const auto call = Call::begin(std::move(handler));
            operation handle;
            call->cancel_by([handle]() mutable { handle.cancel(); });
            pool_of.start_acquire(
                wanted, [call](std::error_code code, lease held) { call->complete(code, std::move(held)); },
                handle);
        },
        token, std::move(pool), std::move(options));
}

/// The same with the options' defaults: it waits for ever.
template <class CompletionToken>
auto async_acquire(semaphore pool, CompletionToken&& token) {
    return async_acquire(std::move(pool), acquire_options(), std::forward<CompletionToken>(token));
}

/// lease::give_back() as an asynchronous operation: `void(std::error_code, bool)`, where the second says
/// whether the slots were still held. It cannot be cancelled.
template <class CompletionToken>
auto async_release(lease held, CompletionToken&& token) {
    return detail::net::async_initiate<CompletionToken, void(std::error_code, bool)>(
        [](auto handler, lease given) {
            using Call = detail::AsioCall<decltype(handler)>;
            const auto call = Call::begin(std::move(handler));
            given.start_give_back(
                [call](std::error_code code, bool was_held) { call->complete(code, was_held); });
        },
        token, std::move(held));
}

/// semaphore::state() as an asynchronous operation: `void(std::error_code, sema::pool_state)`.
template <class CompletionToken>
auto async_state(semaphore pool, CompletionToken&& token) {
    return detail::net::async_initiate<CompletionToken, void(std::error_code, pool_state)>(
        [](auto handler, semaphore pool_of) {
            using Call = detail::AsioCall<decltype(handler)>;
            const auto call = Call::begin(std::move(handler));
            operation handle;
            call->cancel_by([handle]() mutable { handle.cancel(); });
            pool_of.start_state(
                [call](std::error_code code, pool_state state) { call->complete(code, state); }, handle);
        },
        token, std::move(pool));
}

#if defined(BOOST_ASIO_HAS_CO_AWAIT) || defined(ASIO_HAS_CO_AWAIT)

namespace detail {

/// Completes when a lease is lost, or when it is cancelled: `void(std::error_code)`.
template <class CompletionToken>
auto async_lost(std::stop_token lost, CompletionToken&& token) {
    return net::async_initiate<CompletionToken, void(std::error_code)>(
        [](auto handler, std::stop_token stopped) {
            using Call = AsioCall<decltype(handler)>;
            struct Waiting {
                explicit Waiting(decltype(handler) from) : call(Call::begin(std::move(from))) {}
                void end(std::error_code code) {
                    if (!is_over.exchange(true)) call->complete(code);
                }
                std::shared_ptr<Call> call;
                std::atomic<bool> is_over = false;
                std::optional<std::stop_callback<std::function<void()>>> callback;
            };
            const auto waiting = std::make_shared<Waiting>(std::move(handler));
            waiting->call->cancel_by([waiting] {
                waiting->callback.reset();
                waiting->end(errc::cancelled);
            });
            const std::weak_ptr<Waiting> known = waiting;
            waiting->callback.emplace(std::move(stopped), [known] {
                if (const auto still = known.lock()) still->end({});
            });
        },
        token, std::move(lost));
}

/// Runs `work(held)` until it ends, or is cancelled as the lease is lost. Throws what it throws, or the loss.
template <class Work>
net::awaitable<void> run_while_held(lease& held, Work work) {
    // The group has no executor of its own: without one the loss would be reported on a thread of Asio's, and
    // the coroutine cancelled there. A strand, as the executor may have several threads.
    const auto executor = net::make_strand(co_await net::this_coro::executor);
    const auto [order, thrown, code] =
        co_await net::experimental::make_parallel_group(
            net::co_spawn(executor, work(held), net::deferred),
            async_lost(held.lost(), net::bind_executor(executor, net::deferred)))
            .async_wait(net::experimental::wait_for_one(), net::use_awaitable);
    const bool is_lost = order[0] == 1 && !code;
    if (is_lost) throw error(held.reason(), "the lease was lost");
    if (thrown) std::rethrow_exception(thrown);
}

template <class Value>
struct AwaitedOf;
template <class Value, class Executor>
struct AwaitedOf<net::awaitable<Value, Executor>> {
    using type = Value;
};

}  // namespace detail

/// Acquires a lease, runs `work(lease&)`, which is a coroutine, with it, and gives it back, whether that
/// returns or throws: `co_await` gives what the coroutine returned, once the lease is given back. Where the
/// lease is lost meanwhile the coroutine is cancelled (cancellation_type::terminal), and when it has ended,
/// sema::error is thrown with the reason, whatever it made of that. sema::error is thrown for an acquire that
/// fails, too: with errc::cancelled where this coroutine is cancelled before `work` begins. The lease that
/// `work` is given is not to be moved away. `work` runs on a strand of this coroutine's executor.
template <class Work>
requires std::is_invocable_v<Work&, lease&>
auto with_lease(semaphore pool, acquire_options options, Work work)
    -> detail::net::awaitable<typename detail::AwaitedOf<std::invoke_result_t<Work&, lease&>>::type> {
    namespace net = detail::net;
    using Value = typename detail::AwaitedOf<std::invoke_result_t<Work&, lease&>>::type;
    auto [code, held] =
        co_await async_acquire(std::move(pool), std::move(options), net::as_tuple(net::use_awaitable));
    if (code) throw error(code, "acquire");

    // From here on a cancellation is the coroutine's business, and the lease is given back all the same.
    const bool throws_if_cancelled = co_await net::this_coro::throw_if_cancelled();
    co_await net::this_coro::throw_if_cancelled(false);
    const net::cancellation_state state = co_await net::this_coro::cancellation_state;
    std::exception_ptr thrown;
    std::optional<std::conditional_t<std::is_void_v<Value>, bool, Value>> result;
    try {
        // One that came after the grant has cancelled nothing.
        if (state.cancelled() != net::cancellation_type::none) throw error(errc::cancelled, "acquire");
        co_await detail::run_while_held(held, [&](lease& given) -> net::awaitable<void> {
            if constexpr (std::is_void_v<Value>)
                co_await work(given);
            else
                result.emplace(co_await work(given));
        });
    } catch (...) {
        thrown = std::current_exception();
    }
    co_await async_release(std::move(held), net::as_tuple(net::use_awaitable));
    co_await net::this_coro::throw_if_cancelled(throws_if_cancelled);
    if (thrown) std::rethrow_exception(thrown);
    if constexpr (!std::is_void_v<Value>) co_return *std::move(result);
}

/// The same with the options' defaults: it waits for ever.
template <class Work>
requires std::is_invocable_v<Work&, lease&>
auto with_lease(semaphore pool, Work work) {
    return with_lease(std::move(pool), acquire_options(), std::move(work));
}

/// The same for a coroutine that is there already and needs nothing of the lease.
template <class Value, class Executor>
detail::net::awaitable<Value> with_lease(semaphore pool, acquire_options options,
                                         detail::net::awaitable<Value, Executor> work) {
    // Named, as g++ 12 destroys a temporary of a co_await twice.
    auto begin = [work = std::move(work)](lease&) mutable { return std::move(work); };
    co_return co_await with_lease(std::move(pool), std::move(options), std::move(begin));
}

#endif

}  // namespace v1
}  // namespace sema
