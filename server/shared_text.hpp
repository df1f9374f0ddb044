#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace sema {

/// A long text that several may have, with no more memory than it needs.
inline std::shared_ptr<const std::string_view> shared_text(std::string text) {
    struct Text {
        explicit Text(std::string made) : all(std::move(made)), view(all) {}

        const std::string all;
        const std::string_view view;
    };
    text.shrink_to_fit();
    const auto made = std::make_shared<const Text>(std::move(text));
    return {made, &made->view};
}

}  // namespace sema
