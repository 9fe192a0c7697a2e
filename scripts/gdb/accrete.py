# SPDX-License-Identifier: MIT
"""Shows accrete's matrices in gdb: shape, rank, scale and entries.

In gdb, or once in ~/.gdbinit:

    source scripts/gdb/accrete.py

Entries appear as they lie in memory: columns of what is column-major, rows of what is row-major.
How many is gdb's `set print elements`. Needs gdb with Python, a program compiled with -g, and
entries in host memory.
"""

import gdb
import gdb.printing


class Lines:
    """A matrix in memory, as the columns or rows that lie there in one piece."""

    def __init__(self, data, rows, cols, stride, column_major=True):
        self.data = data
        self.rows, self.cols, self.stride = int(rows), int(cols), int(stride)
        self.column_major = column_major

    def children(self, name=""):
        count, length = self.cols, self.rows
        label = name + "[:,{}]"
        if not self.column_major:
            count, length = length, count
            label = name + "[{},:]"
        if length <= 0:
            return
        entry = self.data.type.target()
        for line in range(count):
            start = (self.data + line * self.stride).cast(entry.array(length - 1).pointer())
            yield label.format(line), start.dereference()


def storage_shape(matrix):
    """Rows and columns of the memory of an Eigen matrix."""
    storage = matrix["m_storage"]
    fields = [field.name for field in storage.type.strip_typedefs().fields()]
    if "m_data" not in fields:  # Eigen 5 keeps them in a base class
        storage = storage.cast(storage.type.strip_typedefs().fields()[0].type)
        fields = [field.name for field in storage.type.fields()]
    return storage, int(storage["m_rows"]), int(storage["m_cols"]) if "m_cols" in fields else 1


def columns(matrix, first, rows, cols):
    """`cols` columns of a column-major Eigen matrix, from the column `first` on."""
    storage, stride, _ = storage_shape(matrix)
    return Lines(storage["m_data"] + first * stride, rows, cols, stride)


def vector_size(vector):
    begin, end = vector["_M_impl"]["_M_start"], vector["_M_impl"]["_M_finish"]
    return int(end - begin)


def backend_suffix(value):
    backend = value.type.strip_typedefs().template_argument(1).name.split("::")[-1]
    return "" if backend == "Cpu" else " on " + backend


class View:
    def __init__(self, value):
        self.value = value
        self.column_major = int(value["order"]) == 0

    def to_string(self):
        v = self.value
        order = "column-major" if self.column_major else "row-major"
        return "View {} x {}, stride {}, {}".format(
            int(v["rows"]), int(v["cols"]), int(v["stride"]), order
        )

    def children(self):
        v = self.value
        return Lines(v["data"], v["rows"], v["cols"], v["stride"], self.column_major).children()


class SingularValues:
    def __init__(self, value):
        self.storage, self.size, _ = storage_shape(value)

    def to_string(self):
        return "{} singular values".format(self.size)

    def children(self):
        for i in range(self.size):
            yield "[{}]".format(i), self.storage["m_data"][i]


class LowRankMatrix:
    def __init__(self, value):
        self.value = value
        self.rank = int(value["rank_"])
        _, self.rows, _ = storage_shape(value["u_"])
        _, self.cols, self.capacity = storage_shape(value["v_"])

    def shape(self):
        return "{} x {}, rank {}, capacity {}".format(
            self.rows, self.cols, self.rank, self.capacity
        )

    def to_string(self):
        return "LowRankMatrix " + self.shape() + backend_suffix(self.value)

    def children(self):
        u, v = self.value["u_"], self.value["v_"]
        yield from columns(u, 0, self.rows, self.rank).children("U")
        yield from columns(v, 0, self.cols, self.rank).children("V")


class CumulativeUpdate:
    def __init__(self, value):
        self.value = value
        self.update = LowRankMatrix(value["update_"])
        payload = value["borrowed_"]["_M_payload"]
        self.borrowed = payload["_M_payload"]["_M_value"] if payload["_M_engaged"] else None

    def to_string(self):
        return "CumulativeUpdate {}, scale {}, base {}{}".format(
            self.update.shape(),
            self.value["scale_"],
            "owned" if self.borrowed is None else "borrowed",
            backend_suffix(self.value),
        )

    def children(self):
        if self.borrowed is None:
            base = self.value["base_"]
            yield from columns(base, 0, self.update.rows, self.update.cols).children("W0")
        else:
            for name, line in View(self.borrowed).children():
                yield "W0" + name, line
        yield from self.update.children()


class IncrementalSVD:
    def __init__(self, value):
        self.value = value
        self.svd = value["svd_"]
        self.rank = vector_size(self.svd["values"])

    def to_string(self):
        left, loss = self.svd["left"]["now_"], self.svd["loss"]
        return "IncrementalSVD {} x {}, rank {}, error bound {:.3g}{}".format(
            int(left["stored_rows"]) + int(left["recent_rows"]),
            int(self.svd["cols"]),
            self.rank,
            float(loss["settled"]) + float(loss["current"]),
            backend_suffix(self.value),
        )

    def children(self):
        yield "singular_values", self.svd["values"]
        yield from self.basis("U", self.svd["left"])
        if self.svd["keep_v"]:
            yield from self.basis("V", self.svd["right"])

    @staticmethod
    def basis(name, basis):
        now = basis["now_"]
        if now["is_rotated"] or int(now["recent_rows"]) > 0:
            yield name, "(a rotation is deferred; call {}() to see it)".format(name)
        else:
            storage = basis["stored_"]["front_"]
            yield from columns(storage, 0, now["stored_rows"], now["cols"]).children(name)


printers = gdb.printing.RegexpCollectionPrettyPrinter("accrete")
for printer in (View, SingularValues, LowRankMatrix, CumulativeUpdate, IncrementalSVD):
    name = printer.__name__
    # Between the two names stands the inline namespace of the configuration.
    printers.add_printer(name, r"^accrete::(\w+::)?{}(<.*>)?$".format(name), printer)
gdb.printing.register_pretty_printer(None, printers, replace=True)
