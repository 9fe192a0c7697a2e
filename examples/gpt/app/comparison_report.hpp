// SPDX-License-Identifier: MIT
#pragma once

#include "app/files.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gpt {

/// One evaluation of a run.
struct CurvePoint {
  long step = 0;
  double seconds = 0; ///< of training, without evaluations
  double val_loss = 0;
  double mean_rank = 0; ///< of the layers that have one; 0 where none has
};

/// A finished run, as its metrics file tells.
struct RunRecord {
  nlohmann::json final;
  std::vector<CurvePoint> curve;

  /// None where the file is missing or the run not finished. @throws FileError
  static std::optional<RunRecord> read(const fs::path& metrics);

  [[nodiscard]] double val_loss() const { return final["val_loss"].get<double>(); }
  /// Seconds of training until the validation loss was first below `loss`, between two evaluations
  /// as if it fell along a line.
  [[nodiscard]] std::optional<double> seconds_to(double loss) const;
};

/// The runs of one contestant.
struct ContestantResult {
  std::string label;
  double rate = 0;
  std::vector<RunRecord> runs;
  bool diverged = false; ///< under every rate

  [[nodiscard]] double mean_val_loss() const;
  /// The mean of the runs' curves at the steps that all of them evaluated.
  [[nodiscard]] std::vector<CurvePoint> mean_curve() const;
};

/// The comparison as one Markdown document. `title` says what was trained on which machine.
[[nodiscard]] std::string comparison_table(const std::string& title,
                                           const std::vector<ContestantResult>& results);

/// Writes curves and a gnuplot script into the folder, and where gnuplot is installed draws
/// loss_steps, loss_seconds and ranks (.png and .svg). Returns whether it did. @throws FileError
bool write_plots(const fs::path& folder, const std::vector<ContestantResult>& results);

/// Writes a whole file at once: readers see the old one or the new one. @throws FileError
void write_atomically(const fs::path& path, const std::string& text);

} // namespace gpt
