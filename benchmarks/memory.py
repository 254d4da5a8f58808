"""The beginning of scripts that measure their own memory in a process of their own."""

PEAK = """
import json, pathlib, resource, sys, time

def peak():  # in mebibytes; on Linux getrusage includes what the parent process had
    status = pathlib.Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":") for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
"""
