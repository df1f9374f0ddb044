#pragma once

#include "server/options.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace sema {

/// What is brought up to date while semad runs, when its settings have been read anew. Either all parts take
/// the new options, or none does.
class Reload {
  public:
    /// Takes them. Cannot fail, but may log what could not be done.
    using Apply = std::function<void()>;
    /// Does all that can fail without changing anything: reads files, finds contradictions. The options
    /// outlive what it returns.
    using Prepare = std::function<Expected<Apply>(const Options& next)>;

    /// Adds a part. They are prepared, and then take the options, in the order in which they were added.
    void add(Prepare part) { parts_.push_back(std::move(part)); }

    /// The error is that of the first part that cannot take them.
    Expected<void> take(const Options& next) const {
        std::vector<Apply> prepared;
        for (const Prepare& part : parts_) {
            auto apply = part(next);
            if (!apply) return tl::unexpected(apply.error());
            prepared.push_back(std::move(*apply));
        }
        for (const Apply& apply : prepared)
            apply();
        return {};
    }

  private:
    std::vector<Prepare> parts_;
};

/// The settings, by their names, that differ and that a reload does not take.
std::vector<std::string> changed_but_kept(const Options& before, const Options& after);

}  // namespace sema
