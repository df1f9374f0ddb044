#pragma once

#include "server/service/clock.hpp"
#include "server/time.hpp"

#include <functional>
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

  private:
    const Clock& clock_;
    const std::function<void(const std::string&)> to_;
    bool in_trouble_ = false;
    TimePoint reported_at_;
};

}  // namespace sema
