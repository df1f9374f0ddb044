#pragma once

#include "server/service/answers.hpp"
#include "server/sync.hpp"

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace sema::http {

/// Makes the page of metrics in a thread of its own, since with many pools that takes longer than connections
/// are to wait. Requests that come while a page is made share the next one.
class MetricsPage {
  public:
    /// `make` is called in that thread.
    explicit MetricsPage(std::function<std::string()> make);
    ~MetricsPage();
    MetricsPage(const MetricsPage&) = delete;
    MetricsPage& operator=(const MetricsPage&) = delete;

    /// Any thread. Answer: MetricsListed; shutting_down once it is stopped.
    void ask(Reply reply);
    /// Requests that were not answered yet are answered shutting_down.
    void stop();

  private:
    void run();

    const std::function<std::string()> make_;
    Mutex mutex_;
    ConditionVariable changed_;
    std::vector<Reply> asked_ GUARDED_BY(mutex_);
    bool is_stopping_ GUARDED_BY(mutex_) = false;
    std::thread thread_;
};

}  // namespace sema::http
