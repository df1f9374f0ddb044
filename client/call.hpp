#pragma once

#include "client/understanding.hpp"

#include <optional>
#include <utility>

namespace sema {

/// A call on one server after the other: which requests it takes, and what becomes of their answers. It knows
/// no socket and waits for nothing: its user sends request() to server(), and hands what came of it to
/// take(), until that gives the result.
template <class Result>
class Call {
  public:
    /// All of it takes up to `limit`. The servers must outlive it.
    Call(Servers& servers, Duration limit, Repeat repeat = Repeat::safe)
        : servers_(servers), round_(servers.list, servers.current, limit), repeat_(repeat) {}
    virtual ~Call() = default;
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    std::size_t server() const { return round_.server(); }
    /// What is to be sent to that server now.
    virtual Request request() = 0;
    /// The result, or nothing where another request is to be sent.
    std::optional<Result> take(Exchange exchange) {
        servers_.current = server();
        return conclude(std::move(exchange));
    }

  protected:
    virtual std::optional<Result> conclude(Exchange exchange) = 0;

    Servers& servers() { return servers_; }
    Round& round() { return round_; }

    /// Makes a result of an exchange; `understand` gets every complete HTTP answer.
    template <class Any = Result, class Understand>
    Any resolve(Exchange exchange, Understand understand) {
        return resolved<Any>(servers_, std::move(exchange), understand);
    }

    /// Whether another server is to be asked. What is made of the result otherwise is the call's.
    template <class Any>
    bool goes_on(Any& result) {
        return sema::goes_on(servers_, result, round_, repeat_);
    }

    std::optional<Result> unless_it_goes_on(Result result) {
        if (goes_on(result)) return std::nullopt;
        return result;
    }

    /// Whether the server is not the one that the lease is known from.
    bool is_hearsay() const {
        return servers_.has_several() && (servers_.home ? *servers_.home != server() : round_.failed() > 0);
    }

  private:
    Servers& servers_;
    Round round_;
    const Repeat repeat_;
};

/// One request, and what is understood of its answer.
template <class Result, class Understand>
class SimpleCall : public Call<Result> {
  public:
    SimpleCall(Servers& servers, Request request, Understand understand, Repeat repeat)
        : Call<Result>(servers, request.limit, repeat),
          request_(std::move(request)),
          connect_limit_(request_.connect_limit),
          understand_(std::move(understand)) {}

    Request request() override {
        request_.limit = this->round().limit();
        request_.connect_limit = this->round().connect_limit(connect_limit_);
        return request_;
    }

  protected:
    std::optional<Result> conclude(Exchange exchange) override {
        return this->unless_it_goes_on(this->resolve(std::move(exchange), understand_));
    }

  private:
    Request request_;
    const Duration connect_limit_;
    Understand understand_;
};

}  // namespace sema
