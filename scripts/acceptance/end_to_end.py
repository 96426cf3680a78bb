"""What must hold of the whole way from gpu-run through shim, gRPC, node and worker."""

from acceptance.line import Line, commit, gpu, root, tests, tool

PREPARE = "scripts/build release"

PROGRAMS = ("python3 tests/programs/run.py --driver-dir build/install/lib/outboard/softgpu "
            "--programs build/release/tests/programs --stack build/install")
RUN_RESULT = r"^(\d+ passed), (\d+) failed$"


def bench(row, text, unit, limit):
    command = (f"scripts/bench {row} --json build/accept/bench.json && python3 -c \"import json; "
               f"print('{row}', json.load(open('build/accept/bench.json'))['{row}']['value'])\"")
    return Line(text, command, figure=rf"{row} ([\d.e+-]+)", unit=unit, limit=limit)


LINES = (
    Line("A clean clone in a fresh minimal Debian 12 root: scripts/demo ends with the falling loss and exit 0",
         "tests/e2e/fresh_root.sh scripts/demo", figure=r"^fresh root: ([\d.]+) minutes", unit="minutes",
         needs=(root, tool("debootstrap"), commit), quick="", seconds=3600),
    Line("... and scripts/test is green",
         "tests/e2e/fresh_root.sh scripts/test", figure=r"^fresh root: ([\d.]+) minutes", unit="minutes",
         needs=(root, tool("debootstrap"), commit), quick="", seconds=3600),
    Line("A clean clone: .ci/run in at most 40 minutes on 2 cores",
         "tests/e2e/clean_build.sh .ci/run", figure=r"^clean build and tests: ([\d.]+) minutes", unit="minutes",
         limit="<= 40", needs=(commit,), quick="", seconds=3600),
    Line("Every test program passes through the stack, static and shared cudart, with the output of the native run",
         PROGRAMS, figure=RUN_RESULT, unit="failed", limit="== 0", seconds=1800),
    Line("... as an ordinary user",
         PROGRAMS + " --user", figure=RUN_RESULT, unit="failed", limit="== 0", needs=(root,), seconds=1800),
    Line("... with SOFTGPU_CHAOS for 20 seeds",
         PROGRAMS + " --seeds 20", figure=RUN_RESULT, unit="failed", limit="== 0",
         quick=PROGRAMS + " --seeds 1", seconds=7200),
    tests("The installed tree works when it is moved; what it needs and what it exports", "install|symbols"),
    tests("Round trips: 1 000 launches and a wait make 1; the loop {4 KB in, launch, 4 KB out} makes 1 per turn",
          "OneRoundTrip"),
    bench("launch_async_ns", "A launch that is sent without waiting: at most 500 ns (median)", "ns", "<= 500"),
    bench("launch_loop_ratio", "1 000 launches of a 5 us kernel and a wait: at most 1.5 times the native loop", "x",
          "<= 1.5"),
    bench("sync_rtt_ratio", "cuStreamSynchronize: at most 1.3 times a blocking TCP ping-pong of 64 bytes", "x",
          "<= 1.3"),
    bench("vectoradd_added_ms", "The cudart vector add under gpu-run: at most 100 ms beyond the native run", "ms",
          "<= 100"),
    bench("client_rss_mib", "Memory of the client: at most 60 MiB beyond the native run", "MiB", "<= 60"),
    tests("Eight processes under one lease never get more than the slice; bad input; what is left behind", "^e2e"),
    Line("With an NVIDIA GPU: the same programs natively and through the stack",
         "scripts/gpu-acceptance", figure=r"^(\d+ passed), (\d+) failed, 0 left out", unit="failed", limit="== 0",
         needs=(gpu,), seconds=600),
)
