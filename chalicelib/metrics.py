"""Metrics, in the form that CloudWatch reads out of a log (its embedded metric format)."""

from __future__ import annotations

import json
import sys
import time

NAMESPACE = "Recorder"


def emit(**values: float) -> None:
    """Write one line with these numbers to the log, for CloudWatch to make metrics of.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    line = {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [[]],
                    "Metrics": [{"Name": name} for name in values],
                }
            ],
        },
        **values,
    }
    # Not through logging, whose prefix would hide that the line is JSON.
    sys.stdout.write(json.dumps(line) + "\n")
