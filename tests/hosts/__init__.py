"""`ray up` on three machines that are none: namespaces of Linux with an sshd each; `python -m tests.hosts`."""
