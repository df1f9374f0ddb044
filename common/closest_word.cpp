#include "common/closest_word.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace sema {
namespace {

// Shorter words are too much alike to guess from.
constexpr std::size_t shortest_beginning = 3;

std::string in_lower_case(std::string_view text) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return lower;
}

// How many letters have to be put in, left out, changed, or swapped with the next one.
std::size_t distance(const std::string& a, const std::string& b) {
    std::vector<std::vector<std::size_t>> steps(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) {
        for (std::size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                steps[i][j] = i + j;
                continue;
            }
            const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
            steps[i][j] = std::min({steps[i - 1][j] + 1, steps[i][j - 1] + 1, steps[i - 1][j - 1] + change});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                steps[i][j] = std::min(steps[i][j], steps[i - 2][j - 2] + 1);
        }
    }
    return steps[a.size()][b.size()];
}

}  // namespace

std::string closest_word(std::string_view text, const std::vector<std::string>& words) {
    const std::string meant = in_lower_case(text);
    std::string closest;
    // One slip in three letters.
    std::size_t least = (meant.size() + 1) / 3 + 1;
    for (const std::string& word : words) {
        if (meant.size() >= word.size() + least) continue;
        const bool begins = meant.size() >= shortest_beginning && word.rfind(meant, 0) == 0;
        const std::size_t away = begins ? 1 : distance(meant, in_lower_case(word));
        if (away < least && away < meant.size()) {
            least = away;
            closest = word;
        }
    }
    return closest;
}

std::string alternatives(const std::vector<std::string>& words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i)
        text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
    return text;
}

}  // namespace sema
