// SPDX-License-Identifier: MIT
#include "app/comparison_report.hpp"
#include "app/terminal.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <sys/wait.h>

namespace gpt {
namespace {

double mean_rank(const nlohmann::json& ranks) {
  double sum = 0;
  for (const auto& rank : ranks) {
    sum += rank.get<double>();
  }
  return ranks.empty() ? 0 : sum / static_cast<double>(ranks.size());
}

template <class Value>
double mean_over(const std::vector<RunRecord>& runs, const Value& value) {
  double sum = 0;
  for (const RunRecord& run : runs) {
    sum += value(run);
  }
  return sum / static_cast<double>(runs.size());
}

/// "1.6012 ± 0.0031", the deviation where there are several.
std::string spread_text(const std::vector<RunRecord>& runs) {
  const double mean = mean_over(runs, [](const RunRecord& run) { return run.val_loss(); });
  std::string text = text_of("%.4f", mean);
  if (runs.size() > 1) {
    const double squares =
        mean_over(runs, [&](const RunRecord& run) { return std::pow(run.val_loss() - mean, 2.0); });
    const auto n = static_cast<double>(runs.size());
    text += text_of(" ± %.4f", std::sqrt(squares * n / (n - 1)));
  }
  return text;
}

std::string ranks_text(const RunRecord& run) {
  const auto& ranks = run.final["ranks"];
  if (ranks.empty()) {
    return "-";
  }
  double least = 1e18, most = 0;
  for (const auto& rank : ranks) {
    least = std::min(least, rank.get<double>());
    most = std::max(most, rank.get<double>());
  }
  return text_of("%.0f / %.1f / %.0f", least, mean_rank(ranks), most);
}

double number_of_field(const RunRecord& run, const char* key) {
  return run.final[key].get<double>();
}

std::string row(const ContestantResult& result, std::optional<double> full_loss) {
  if (result.runs.empty()) {
    return "| " + result.label + " | " + (result.diverged ? "diverged" : "not finished") +
           " | | | | | | | |\n";
  }
  const auto& runs = result.runs;
  const auto mean = [&](const char* key) {
    return mean_over(runs, [&](const RunRecord& run) { return number_of_field(run, key); });
  };
  const double memory = mean("parameter_bytes") + mean("gradient_bytes") + mean("state_bytes");
  std::string reached = "-";
  if (full_loss) {
    std::vector<double> seconds;
    for (const RunRecord& run : runs) {
      if (const auto time = run.seconds_to(*full_loss)) {
        seconds.push_back(*time);
      }
    }
    if (!seconds.empty()) {
      reached = text_of("%.1f", std::accumulate(seconds.begin(), seconds.end(), 0.0) /
                                    static_cast<double>(seconds.size()));
      if (seconds.size() < runs.size()) {
        reached += text_of(" (%zu of %zu runs)", seconds.size(), runs.size());
      }
    }
  }
  const double training =
      mean_over(runs, [](const RunRecord& run) { return run.curve.back().seconds; });
  return "| " + result.label + text_of(" | %g | ", result.rate) + spread_text(runs) + " | " +
         grouped(mean("params")) + " | " + memory_text(mean("parameter_bytes")) + " | " +
         memory_text(memory) + text_of(" | %.1f | %.1f | ", mean("step_ms"), training) + reached +
         " | " + ranks_text(runs.front()) + " |\n";
}

/// Starts a program in a folder and waits for it; true where it ended well.
bool run_in(const fs::path& folder, const char* program, const char* argument) {
  std::fflush(nullptr);
  const ::pid_t child = ::fork();
  if (child == 0) {
    if (::chdir(folder.c_str()) == 0) {
      ::execlp(program, program, argument, static_cast<char*>(nullptr));
    }
    ::_exit(127);
  }
  int status = 0;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct Plot {
  const char* name;
  const char* title;
  const char* x_label;
  const char* y_label;
  const char* columns; ///< of the curve files: step, seconds, loss, rank
  bool is_rank = false;
};

constexpr Plot plots[] = {
    {"loss_steps", "Validation loss against steps", "step", "nats a character", "1:3"},
    {"loss_seconds", "Validation loss against training time", "seconds", "nats a character", "2:3"},
    {"ranks", "Mean rank of the layers", "step", "rank", "1:4", true},
};

constexpr std::size_t lines_of_a_panel = 7; // colours of gnuplot before its black

/// A line of a plot, and whether its method is the reference that each panel shows.
struct Line {
  std::string text;
  bool is_reference;
};

std::vector<Line> lines_of(const Plot& plot, const std::vector<ContestantResult>& results) {
  std::vector<Line> lines;
  std::size_t color = 0;
  for (const ContestantResult& result : results) {
    const auto curve = result.mean_curve();
    if (curve.empty() || (plot.is_rank && curve.back().mean_rank == 0)) {
      continue;
    }
    const bool is_reference = result.label == "full";
    color += is_reference ? 0 : 1;
    lines.push_back({"'" + result.label +
                         text_of(".curve' using %s with %s lw 2 lc ", plot.columns,
                                 plot.is_rank ? "steps" : "lines") +
                         (is_reference ? "rgb 'black' dt 2"
                                       : text_of("%zu", 1 + (color - 1) % lines_of_a_panel)) +
                         " title '" + result.label + "'",
                     is_reference});
  }
  return lines;
}

/// The lines of each panel, seven of them besides the references.
std::vector<std::string> panels_of(const std::vector<Line>& lines) {
  std::vector<std::string> panels;
  std::string references;
  for (const Line& line : lines) {
    references += line.is_reference ? ", \\\n     " + line.text : "";
  }
  std::size_t count = 0;
  for (const Line& line : lines) {
    if (!line.is_reference) {
      const bool is_first = count++ % lines_of_a_panel == 0;
      if (is_first) {
        panels.emplace_back();
      }
      panels.back() += (is_first ? "" : ", \\\n     ") + line.text;
    }
  }
  if (panels.empty() && !references.empty()) {
    return {references.substr(references.find('\''))}; // nothing else to show
  }
  for (std::string& panel : panels) {
    panel += references;
  }
  return panels;
}

/// A loss below which the curves can be told apart: the largest after a fifth of the steps.
double top_of(const std::vector<ContestantResult>& results) {
  double top = 0;
  for (const ContestantResult& result : results) {
    const auto curve = result.mean_curve();
    const auto after = std::find_if(curve.begin(), curve.end(), [&](const CurvePoint& point) {
      return 5 * point.step >= curve.back().step;
    });
    top = after == curve.end() ? top : std::max(top, after->val_loss);
  }
  return top;
}

std::string plot_script(const std::vector<ContestantResult>& results) {
  std::string script = "set datafile missing \"-\"\nset grid\nset key outside right\n";
  for (const Plot& plot : plots) {
    const auto panels = panels_of(lines_of(plot, results));
    if (panels.empty()) {
      continue;
    }
    const std::size_t columns = panels.size() > 1 ? 2 : 1;
    const std::size_t rows = (panels.size() + columns - 1) / columns;
    const std::size_t width = columns == 1 ? 1100 : 1600;
    const std::size_t height = columns == 1 ? 620 : 460 * rows;
    script += text_of("set xlabel \"%s\"\nset ylabel \"%s\"\n", plot.x_label, plot.y_label);
    script += plot.is_rank ? std::string("set yrange [0:*]\n")
                           : text_of("set yrange [*:%.4g]\n", top_of(results));
    for (const char* format : {"png", "svg"}) {
      const bool is_png = std::string(format) == "png";
      script += text_of(is_png ? "set terminal pngcairo size %zu,%zu noenhanced font \"sans,11\"\n"
                               : "set terminal svg size %zu,%zu noenhanced font \"sans,13\" "
                                 "background \"white\"\n",
                        width, height);
      script += text_of("set output '%s.%s'\nset multiplot layout %zu,%zu title \"%s\"\n",
                        plot.name, format, rows, columns, plot.title);
      for (const std::string& panel : panels) {
        script += "plot " + panel + "\n";
      }
      script += "unset multiplot\n";
    }
  }
  return script + "unset output\n";
}

/// Those with the least loss first, those without one last.
std::vector<ContestantResult> by_loss(std::vector<ContestantResult> results) {
  std::stable_sort(
      results.begin(), results.end(), [](const ContestantResult& a, const ContestantResult& b) {
        return !a.runs.empty() && (b.runs.empty() || a.mean_val_loss() < b.mean_val_loss());
      });
  return results;
}

} // namespace

std::optional<RunRecord> RunRecord::read(const fs::path& metrics) {
  std::error_code ignored;
  if (!fs::is_regular_file(metrics, ignored)) {
    return std::nullopt;
  }
  RunRecord run;
  double seconds = 0;
  const std::string text = InputFile(metrics).read_all();
  for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    const auto record = nlohmann::json::parse(text.substr(begin, end - begin), nullptr, false);
    if (!record.is_object()) {
      return std::nullopt;
    }
    if (record.contains("final")) {
      run.final = record;
      continue;
    }
    seconds += record["step_ms"].get<double>() * 1e-3;
    if (record["val_loss"].is_number()) {
      run.curve.push_back({record["step"].get<long>(), seconds, record["val_loss"].get<double>(),
                           mean_rank(record["ranks"])});
    }
  }
  return run.final.is_null() ? std::nullopt : std::optional<RunRecord>(std::move(run));
}

std::optional<double> RunRecord::seconds_to(double loss) const {
  for (std::size_t i = 0; i < curve.size(); ++i) {
    if (curve[i].val_loss <= loss) {
      if (i == 0) {
        return curve[i].seconds;
      }
      const CurvePoint& before = curve[i - 1];
      const double share = (before.val_loss - loss) / (before.val_loss - curve[i].val_loss);
      return before.seconds + share * (curve[i].seconds - before.seconds);
    }
  }
  return std::nullopt;
}

double ContestantResult::mean_val_loss() const {
  return mean_over(runs, [](const RunRecord& run) { return run.val_loss(); });
}

std::vector<CurvePoint> ContestantResult::mean_curve() const {
  std::map<long, std::pair<CurvePoint, std::size_t>> sums;
  for (const RunRecord& run : runs) {
    for (const CurvePoint& point : run.curve) {
      auto& [sum, count] = sums[point.step];
      sum.step = point.step;
      sum.seconds += point.seconds;
      sum.val_loss += point.val_loss;
      sum.mean_rank += point.mean_rank;
      ++count;
    }
  }
  std::vector<CurvePoint> curve;
  const auto n = static_cast<double>(runs.size());
  for (const auto& [step, entry] : sums) {
    const auto& [sum, count] = entry;
    if (count == runs.size()) {
      curve.push_back({step, sum.seconds / n, sum.val_loss / n, sum.mean_rank / n});
    }
  }
  return curve;
}

std::string comparison_table(const std::string& title,
                             const std::vector<ContestantResult>& results) {
  std::optional<double> full_loss;
  for (const ContestantResult& result : results) {
    if (result.label == "full" && !result.runs.empty()) {
      full_loss = result.mean_val_loss();
    }
  }
  std::string text = title;
  text +=
      "\n| method | learning rate | validation loss | parameters | weights | with gradients and "
      "state | ms a step | training s | s to full rank's loss | rank least / mean / most |\n"
      "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|\n";
  for (const ContestantResult& result : by_loss(results)) {
    text += row(result, full_loss);
  }
  return text;
}

bool write_plots(const fs::path& folder, const std::vector<ContestantResult>& results) {
  for (const ContestantResult& result : results) {
    std::string text = "# step seconds val_loss mean_rank\n";
    for (const CurvePoint& point : result.mean_curve()) {
      text += text_of("%ld %.6g %.6g ", point.step, point.seconds, point.val_loss) +
              (point.mean_rank > 0 ? text_of("%.6g", point.mean_rank) : "-") + "\n";
    }
    write_atomically(folder / (result.label + ".curve"), text);
  }
  write_atomically(folder / "plots.gnuplot", plot_script(by_loss(results)));
  return run_in(folder, "gnuplot", "plots.gnuplot");
}

void write_atomically(const fs::path& path, const std::string& text) {
  const fs::path unfinished = path.string() + ".unfinished";
  OutputFile file(unfinished);
  file.write(text);
  file.finish();
  rename_path(unfinished, path);
}

} // namespace gpt
