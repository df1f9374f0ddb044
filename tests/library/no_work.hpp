#pragma once

#include <sema/scheduler.hpp>

#include <optional>
#include <string>

namespace sema::test {

/// A source that names no task.
class NoWork : public backend {
  public:
    std::string name() const override { return "none"; }
    std::optional<std::string> poll() override { return std::nullopt; }
    void start(const task&) override {}
};

}  // namespace sema::test
