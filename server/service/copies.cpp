#include "server/service/copies.hpp"

#include "common/overloaded.hpp"

#include <optional>
#include <string_view>
#include <utility>
#include <variant>

namespace sema {
namespace {

/// A whole copy, which counts as one under way while somebody has it.
struct Copied {
    std::shared_ptr<const std::string_view> bytes;
    std::shared_ptr<void> counted;
};

}  // namespace

/// Only the thread that is at the store touches it.
struct Copies::Copying {
    Reply reply;
    std::shared_ptr<void> counted;
    std::unique_ptr<StoreCopy> copy{};
    /// Set once it is over.
    std::optional<Answer> answer{};
};

void Copies::add(Reply reply) {
    {
        const MutexLock lock(mutex_);
        if (taken_.expired()) {
            const auto counted = std::make_shared<char>();
            taken_ = counted;
            current_.reset(new Copying{std::move(reply), counted});
            wakeups_.add_work();
            return;
        }
    }
    reply(Refusal::too_many_copies);
}

std::shared_ptr<Copies::Copying> Copies::current() {
    const MutexLock lock(mutex_);
    return current_;
}

void Copies::go_on() {
    auto copying = current();
    if (!copying) return;
    if (table_.is_draining()) {
        copying->answer = Refusal::shutting_down;
    } else if (!copying->copy) {
        begin(store_, *copying);
    } else if (const auto is_whole = copying->copy->go_on(); !is_whole) {
        copying->answer = StoreNotCopied{is_whole.error().message};
    } else if (*is_whole) {
        finish(*copying);
    }
    wakeups_.add_work();
    if (!copying->answer) return;
    {
        const MutexLock lock(mutex_);
        current_.reset();
    }
    const Reply reply = std::move(copying->reply);
    const Answer answer = *std::move(copying->answer);
    // A client that is answered that there is none may ask for another at once.
    copying.reset();
    reply(answer);
}

void Copies::begin(Store& store, Copying& copying) {
    BegunCopy begun = store.begin_copy();
    std::visit(
        Overloaded{[&](std::unique_ptr<StoreCopy>& copy) { copying.copy = std::move(copy); },
                   [&](NoCopies& none) {
                       copying.answer = StoreNotCopied{std::move(none.reason), true};
                   },
                   [&](StoreFailure& failed) { copying.answer = StoreNotCopied{std::move(failed.message)}; }},
        begun);
}

void Copies::finish(Copying& copying) {
    const auto bytes = copying.copy->bytes();
    if (!bytes) {
        copying.answer = StoreNotCopied{bytes.error().message};
        return;
    }
    const auto copied = std::make_shared<const Copied>(Copied{*bytes, copying.counted});
    copying.answer = StoreCopied{{copied, copied->bytes.get()}};
}

}  // namespace sema
