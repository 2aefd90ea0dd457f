"""Runs a suite in a pid and mount namespace of its own, where it may: own_space.py SUITE [argument...].

What a suite leaves behind is then told from what another one does beside it, and ends with it. Who is not root runs it as it is.
"""
import os
import sys

command = [sys.executable, *sys.argv[1:]]
if os.geteuid() == 0:
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--", *command]
os.execvp(command[0], command)
