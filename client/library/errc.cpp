#include "common/printable.hpp"

#include <sema/errc.hpp>

namespace sema {
inline namespace v1 {
namespace {

class Category : public std::error_category {
  public:
    const char* name() const noexcept override { return "sema"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::no_slot:
                return "no slot became free within the wait";
            case errc::no_such_pool:
                return "the server has no such pool";
            case errc::lease_lost:
                return "the lease is not held any more";
            case errc::timed_out:
                return "the time is over";
            case errc::unavailable:
                return "no server is available";
            case errc::rejected:
                return "the request was refused";
            case errc::not_held:
                return "more was released than is held";
            case errc::not_renewable:
                return "the pool does not let its leases be renewed";
            case errc::cancelled:
                return "the call was cancelled";
            case errc::client_closed:
                return "the client is gone";
        }
        return "unknown error";
    }

    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
            case errc::no_slot:
                return std::errc::resource_unavailable_try_again;
            case errc::timed_out:
                return std::errc::timed_out;
            case errc::cancelled:
                return std::errc::operation_canceled;
            default:
                return {value, *this};
        }
    }
};

}  // namespace

const std::error_category& error_category() noexcept {
    static const Category category;
    return category;
}

// A server's own words may be in it, and what those quote of a request.
error::error(std::error_code code, const std::string& what) : std::system_error(code, presentable(what)) {}
error::error(const error&) noexcept = default;
error& error::operator=(const error&) noexcept = default;
error::~error() = default;

}  // namespace v1
}  // namespace sema
