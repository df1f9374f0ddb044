#include "server/http/metrics_page.hpp"

#include <utility>

namespace sema::http {
namespace {

struct Page {
    explicit Page(std::string made) : all(std::move(made)), text(all) {}

    const std::string all;
    const std::string_view text;
};

}  // namespace

MetricsPage::MetricsPage(std::function<std::string()> make)
    : make_(std::move(make)), thread_([this] { run(); }) {}

MetricsPage::~MetricsPage() {
    stop();
}

void MetricsPage::ask(Reply reply) {
    {
        const MutexLock lock(mutex_);
        if (!is_stopping_) {
            asked_.push_back(std::move(reply));
            changed_.notify_one();
            return;
        }
    }
    reply(Refusal::shutting_down);
}

void MetricsPage::stop() {
    std::vector<Reply> left;
    {
        const MutexLock lock(mutex_);
        is_stopping_ = true;
        left = std::exchange(asked_, {});
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
    for (const Reply& reply : left)
        reply(Refusal::shutting_down);
}

void MetricsPage::run() {
    for (;;) {
        std::vector<Reply> asked;
        {
            const MutexLock lock(mutex_);
            while (asked_.empty() && !is_stopping_)
                changed_.wait(mutex_);
            if (is_stopping_) return;
            asked = std::exchange(asked_, {});
        }
        const auto page = std::make_shared<const Page>(make_());
        const MetricsListed listed{{page, &page->text}};
        for (const Reply& reply : asked)
            reply(listed);
    }
}

}  // namespace sema::http
