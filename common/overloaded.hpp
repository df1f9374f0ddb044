#pragma once

namespace sema {

/// Several functions as one, for std::visit: a variant's kind that none of them takes does not compile.
template <class... Functions>
struct Overloaded : Functions... {
    using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

}  // namespace sema
