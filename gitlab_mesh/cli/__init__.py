"""The command line: the only place that builds adapters and hands them to jobs as ports."""
