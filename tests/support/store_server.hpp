#pragma once

#include <string>

namespace sema::test {

/// A store that several semads use at once, as a server of the test's own: it runs from the construction on.
class StoreServer {
  public:
    StoreServer() = default;
    virtual ~StoreServer() = default;
    StoreServer(const StoreServer&) = delete;
    StoreServer& operator=(const StoreServer&) = delete;

    /// As semad takes it after --store.
    virtual std::string url() const = 0;
    virtual int port() const = 0;

    /// Starts it again, and returns once it serves. REQUIRES: it was stopped.
    virtual void start() = 0;
    /// Ends it as a crash does.
    virtual void kill9() = 0;
    /// From now on it does nothing and answers nobody; its connections stay.
    virtual void pause() = 0;
    virtual void resume() = 0;
};

}  // namespace sema::test
