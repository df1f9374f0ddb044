#pragma once

#include "server/service/clock.hpp"
#include "server/sync.hpp"
#include "server/time.hpp"

#include <atomic>
#include <functional>
#include <optional>
#include <string>

namespace sema {

/// Reports that the store fails, and that it works again, without a word for each call. For the thread that
/// is at the store.
class TroubleReport {
  public:
    /// `to`: see Service::Service().
    TroubleReport(const Clock& clock, std::function<void(const std::string&)> to);

    /// What has failed just now, or an empty text where nothing did.
    void add(const std::string& trouble);
    /// What the store has lost, though it works. Reported as often as its failures, and never taken back.
    void add_loss(const std::string& loss);
    /// Why the store failed when it was used last; empty where it did not. Any thread.
    std::string latest() const;

  private:
    const Clock& clock_;
    const std::function<void(const std::string&)> to_;
    bool in_trouble_ = false;
    TimePoint reported_at_;
    std::optional<TimePoint> loss_reported_at_;
    std::atomic<bool> is_failing_{false};
    mutable Mutex mutex_;
    std::string failure_ GUARDED_BY(mutex_);
};

}  // namespace sema
