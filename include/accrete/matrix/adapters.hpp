// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/grouped_products.hpp>
#include <accrete/backend/workspace.hpp>
#include <accrete/matrix/low_rank_matrix.hpp>

#include <algorithm>
#include <deque>
#include <span>
#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Columns sorted by adapter, in host memory: those of adapter g are
/// order[first[g]], …, order[first[g + 1] - 1], ascending. Columns of no adapter are left out.
struct ColumnGroups {
  const Index* first;
  const Index* order;
};

/// Counting sort. The indices have been checked; -1 is no adapter.
inline ColumnGroups group_columns(Workspace::Frame& frame, Index adapters,
                                  std::span<const Index> adapter_of_column) {
  // One entry more, so that the ends of the groups can move while their columns are filled in.
  Index* first = frame.allocate<Index>(adapters + 2);
  std::fill_n(first, adapters + 2, Index{0});
  for (const Index adapter : adapter_of_column) {
    if (adapter >= 0) {
      ++first[adapter + 2];
    }
  }
  for (Index g = 2; g < adapters + 2; ++g) {
    first[g] += first[g - 1];
  }
  Index* order = frame.allocate<Index>(static_cast<Index>(adapter_of_column.size()));
  Index column = 0;
  for (const Index adapter : adapter_of_column) {
    if (adapter >= 0) {
      order[first[adapter + 1]++] = column;
    }
    ++column;
  }
  return {first, order};
}

/// The columns of one adapter of rank r > 0: neighbours are used in place, others gathered.
template <class Backend, class Scalar>
struct AdapterColumns {
  Scalar scale;
  ViewOn<const Scalar, Backend> u;
  ViewOn<const Scalar, Backend> v;
  Index first; ///< of neighbours in x and y, otherwise of the gathered columns
  Index count;
  bool gathered;
};

/// y += scale u vᵀ x of each group in its own columns: two grouped products, and one gathering of
/// the columns `apart`, those of all groups that are no neighbours.
template <class Backend, class Scalar>
void add_low_rank_columns(Device<Backend>& device,
                          std::span<const AdapterColumns<Backend, Scalar>> groups,
                          std::span<const Index> apart, ViewOn<const Scalar, Backend> x,
                          ViewOn<Scalar, Backend> y) {
  using Product = GroupedProduct<Scalar, typename Backend::Space>;
  Frame<Backend> frame(device.workspace());
  Workspace::Frame host(host_workspace());
  const auto size = static_cast<Index>(apart.size());
  const ViewOn<Scalar, Backend> inputs = frame.template matrix<Scalar>(x.rows, size);
  const ViewOn<Scalar, Backend> added = frame.template matrix<Scalar>(y.rows, size);
  const auto count = static_cast<Index>(groups.size());
  Product* const down = host.allocate<Product>(count);
  Product* const up = host.allocate<Product>(count);
  for (Index g = 0; g < count; ++g) {
    const auto& group = groups[static_cast<std::size_t>(g)];
    const auto projected = frame.template matrix<Scalar>(group.v.cols, group.count);
    const auto input = (group.gathered ? inputs.as_const() : x).columns(group.first, group.count);
    const auto output = (group.gathered ? added : y).columns(group.first, group.count);
    down[g] = {Scalar{1}, group.v.transposed(), input, Scalar{0}, projected};
    up[g] = {group.scale, group.u, projected, group.gathered ? Scalar{0} : Scalar{1}, output};
  }
  if (size > 0) {
    Kernels<Backend>::gather_columns(device, x, apart, inputs);
  }
  multiply_grouped<Backend, Scalar>(device, span_of<const Product>(down, count));
  multiply_grouped<Backend, Scalar>(device, span_of<const Product>(up, count));
  if (size > 0) {
    Kernels<Backend>::scatter_add_columns(device, added.as_const(), apart, y);
  }
}

} // namespace detail

/// Many low-rank updates s_i U_i V_iᵀ of one m x n base, for inputs whose columns belong to
/// different ones: a server of many fine-tuned models multiplies by the base once for all of them
/// (Chen et al., Punica, MLSys 2024; Sheng et al., S-LoRA, MLSys 2024). Ranks may differ. The base
/// is no part of the set.
template <class MatrixScalar, class MatrixBackend = Cpu>
class AdapterSet {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using LowRank = LowRankMatrix<Scalar, Backend>;

  /// No adapter yet, of rows x cols bases. @throws ShapeError for negative sizes.
  AdapterSet(Index rows, Index cols) : rows_(rows), cols_(cols) {
    if (rows < 0 || cols < 0) {
      ACCRETE_THROW ShapeError("AdapterSet of " + detail::shape_text(rows, cols) +
                               ": sizes must not be negative");
    }
  }

  /// Takes over s U Vᵀ and returns its index: 0, 1, … @throws ShapeError
  Index add(LowRank update, Scalar scale = Scalar{1}) {
    check_shape("AdapterSet::add", update);
    adapters_.push_back({std::move(update), scale});
    return size() - 1;
  }

  [[nodiscard]] Index rows() const noexcept { return rows_; }
  [[nodiscard]] Index cols() const noexcept { return cols_; }
  [[nodiscard]] Index size() const noexcept { return static_cast<Index>(adapters_.size()); }

  /// U Vᵀ of one adapter, to grow, truncate or train it. @throws ArgumentError
  [[nodiscard]] LowRank& low_rank(Index adapter) { return adapters_[checked(adapter)].update; }
  [[nodiscard]] const LowRank& low_rank(Index adapter) const {
    return adapters_[checked(adapter)].update;
  }
  [[nodiscard]] Scalar scale(Index adapter) const { return adapters_[checked(adapter)].scale; }
  void set_scale(Index adapter, Scalar scale) { adapters_[checked(adapter)].scale = scale; }

  /// y(:, j) = base x(:, j) + s_i U_i V_iᵀ x(:, j) with i = adapter_of_column[j], -1 for none: x is
  /// n x p, y is m x p, both in memory. The base is any expression: W0, a CumulativeUpdate. It is
  /// multiplied once, by all of x, then every adapter in use by its own k columns: 2 (m + n) r k
  /// FLOPs. Columns of one adapter that are neighbours are read and written in place, others
  /// through the workspace, so sorted batches cost least. Allocates nothing once the workspace has
  /// grown. y may overlap x or the factors at the cost of an m x p temporary.
  /// @throws ShapeError, ArgumentError for an index without adapter; nothing is written then. Where
  /// memory runs out, y may hold a part of the sum.
  template <detail::Operand Base, class Input, class Output>
  void apply(const Base& base, std::span<const Index> adapter_of_column, const Input& x,
             Output&& y) const {
    const auto node = detail::lift(base);
    const ViewOn<const Scalar, Backend> input = view_of(x);
    const ViewOn<Scalar, Backend> output = view_of(y);
    check_apply(node.rows(), node.cols(), adapter_of_column, input, output);
    auto& context = Context<Backend>::current();
    const auto product = detail::product(node, detail::factor_leaf<Scalar, Backend>(input));
    Workspace::Frame host(detail::host_workspace());
    const auto groups = detail::group_columns(host, size(), adapter_of_column);
    if (!overlaps(groups, input, output)) {
      detail::evaluate_into(context, product, Scalar{1}, Scalar{0}, output);
      return add_updates(context.device(), groups, input, output);
    }
    detail::Frame<Backend> frame(context.device().workspace());
    const ViewOn<Scalar, Backend> value = frame.template matrix<Scalar>(output.rows, output.cols);
    detail::evaluate_into(context, product, Scalar{1}, Scalar{0}, value, false);
    add_updates(context.device(), groups, input, value);
    Kernels<Backend>::combine(context.device(), Scalar{1}, value.as_const(), Scalar{0}, output);
  }

 private:
  struct Adapter { // NOLINT(bugprone-exception-escape): it moves as its LowRankMatrix does
    LowRank update;
    Scalar scale;
  };

  [[nodiscard]] std::size_t checked(Index adapter) const {
    if (adapter < 0 || adapter >= size()) {
      ACCRETE_THROW ArgumentError("AdapterSet has " + std::to_string(size()) +
                                  " adapters, numbered from 0; there is no number " +
                                  std::to_string(adapter));
    }
    return static_cast<std::size_t>(adapter);
  }

  void check_shape(const char* operation, const LowRank& update) const {
    if (update.rows() != rows_ || update.cols() != cols_) {
      detail::throw_shape_error(operation, rows_, cols_, update.rows(), update.cols(),
                                "every adapter must have the shape of the base");
    }
  }

  void check_apply(Index base_rows, Index base_cols, std::span<const Index> adapter_of_column,
                   const ViewOn<const Scalar, Backend>& x, const ViewOn<Scalar, Backend>& y) const {
    constexpr const char* operation = "AdapterSet::apply";
    if (base_rows != rows_ || base_cols != cols_) {
      detail::throw_shape_error(operation, base_rows, base_cols, rows_, cols_,
                                "the base must have the shape of the adapters");
    }
    if (x.rows != cols_) {
      detail::throw_shape_error(operation, rows_, cols_, x.rows, x.cols,
                                "the rows of the input must equal the columns of the base");
    }
    if (y.rows != rows_ || y.cols != x.cols) {
      detail::throw_shape_error(operation, rows_, x.cols, y.rows, y.cols,
                                "the result must have the rows of the base and the columns of "
                                "the input");
    }
    if (static_cast<Index>(adapter_of_column.size()) != x.cols) {
      ACCRETE_THROW ShapeError("AdapterSet::apply: adapter_of_column has " +
                               std::to_string(adapter_of_column.size()) +
                               " entries and the input " + std::to_string(x.cols) +
                               " columns; give one for each, -1 for no adapter");
    }
    for (const Index adapter : adapter_of_column) {
      if (adapter < -1 || adapter >= size()) {
        ACCRETE_THROW ArgumentError("AdapterSet::apply: adapter_of_column names adapter " +
                                    std::to_string(adapter) + " of " + std::to_string(size()) +
                                    "; give a number from 0, or -1 for no adapter");
      }
      if (adapter >= 0) {
        check_shape(operation, adapters_[static_cast<std::size_t>(adapter)].update);
      }
    }
  }

  /// Calls visit(adapter, columns) for each adapter that is in use and not zero by its rank.
  template <class Visit>
  void for_each_group(const detail::ColumnGroups& groups, const Visit& visit) const {
    for (Index g = 0; g < size(); ++g) {
      const Adapter& adapter = adapters_[static_cast<std::size_t>(g)];
      const Index begin = groups.first[g];
      const auto columns = detail::span_of(groups.order + begin, groups.first[g + 1] - begin);
      if (!columns.empty() && adapter.update.rank() > 0) {
        visit(adapter, columns);
      }
    }
  }

  [[nodiscard]] bool overlaps(const detail::ColumnGroups& groups,
                              const ViewOn<const Scalar, Backend>& x,
                              const ViewOn<Scalar, Backend>& y) const {
    bool result = accrete::overlaps(x, y);
    for_each_group(groups, [&](const Adapter& adapter, std::span<const Index>) {
      result = result || accrete::overlaps(adapter.update.u_view(), y) ||
               accrete::overlaps(adapter.update.v_view(), y);
    });
    return result;
  }

  void add_updates(Device<Backend>& device, const detail::ColumnGroups& groups,
                   const ViewOn<const Scalar, Backend>& x, const ViewOn<Scalar, Backend>& y) const {
    using Group = detail::AdapterColumns<Backend, Scalar>;
    if (y.empty()) {
      return;
    }
    Workspace::Frame host(detail::host_workspace());
    Group* const used = host.allocate<Group>(size());
    Index* const apart = host.allocate<Index>(y.cols);
    Index count = 0;
    Index size_apart = 0;
    for_each_group(groups, [&](const Adapter& adapter, std::span<const Index> columns) {
      const auto of_group = static_cast<Index>(columns.size());
      const bool gathered = columns.back() - columns.front() + 1 != of_group;
      used[count++] = {adapter.scale,
                       adapter.update.u_view(),
                       adapter.update.v_view(),
                       gathered ? size_apart : columns.front(),
                       of_group,
                       gathered};
      if (gathered) {
        std::copy(columns.begin(), columns.end(), apart + size_apart);
        size_apart += of_group;
      }
    });
    detail::add_low_rank_columns<Backend, Scalar>(device, detail::span_of<const Group>(used, count),
                                                  detail::span_of<const Index>(apart, size_apart),
                                                  x, y);
  }

  Index rows_;
  Index cols_;
  std::deque<Adapter> adapters_; // expressions refer to them: they must not move
};

ACCRETE_END_NAMESPACE
