# SPDX-License-Identifier: MIT
# Time of growth by k columns, from the medians of benchmarks/rank_growth.cpp:
#
#     build/release/benchmarks/rank_growth --benchmark_repetitions=9 \
#         --benchmark_enable_random_interleaving=true --benchmark_report_aggregates_only=true \
#         --benchmark_format=csv > rank_growth.csv
#     gnuplot -e "data='rank_growth.csv'; image='docs/plots/rank_growth.svg'" benchmarks/rank_growth.gnuplot
set terminal svg size 720,400 dynamic enhanced font 'sans,13' background 'white'
set output image
set datafile separator ','
set logscale xy
set grid
set key left top
set xrange [1:256]
set xlabel 'new columns k'
set ylabel 'time, µs'
set title 'k columns join U Vᵀ, 4096 x 4096, rank 256, float'
# "name/k_median",iterations,real time,...
medians(name) = sprintf("< sed -n 's/^.%s.\\([0-9]*\\)_median./\\1/p' %s | sort -n", name, data)
plot medians('within_capacity') using 1:3 with linespoints lw 2 title 'within the capacity', \
     medians('beyond_capacity') using 1:3 with linespoints lw 2 title 'beyond it: the capacity doubles', \
     medians('by_hand') using 1:3 with linespoints lw 2 title 'Eigen by hand: conservativeResize'
