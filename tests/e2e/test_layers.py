"""Turns that stand on the layers of the turns before, beside the same turns restored from archives. Scripted agent, real sandboxes."""
import os
import shutil
import signal
import tempfile

from agents import AgentsDir, keepers
from harness import Case, Server, entries, main, wait_for

PLAIN_USER = 65534
# Everything that a turn can see of its workspace and home.
LOOK = "find . ~ -path ~/.codex -prune -o -printf '%p %y %m %l\\n' -type f -exec cat {} + | sort | sha256sum"
# Turns that take back, replace and hide what the turns before made.
TURNS = (
    "mkdir -p a/b to-file to-dir/x; echo 1 > a/b/f; echo 1 > a/g; ln -s a/g link; echo x > to-file/x; echo s > script; chmod 751 script; mkdir opaque; "
    "echo old > opaque/old; echo secret > locked; chmod 0 locked; echo note > ~/note; mkdir ~/d",
    "rm a/b/f; echo 2 >> a/g; rm link; mkdir link; echo in > link/in; rm -r to-file; echo f > to-file; rm -r opaque; mkdir opaque; echo new > opaque/new; "
    "chmod 640 script; chmod 600 locked; echo more >> ~/note; rmdir ~/d; mv a/g a/moved",
    "rm -r to-dir; echo f > to-dir; rm to-file; mkdir to-file; echo y > to-file/y; echo third > opaque/third; ln -sf nowhere dangling; rm -r a; touch ~/empty",
    "mkdir -p a/b; echo again > a/b/f; rm -r opaque link; rm to-dir; mkdir to-dir; echo z > to-dir/z; rm ~/empty",
)


class Layers(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()

    @classmethod
    def tearDownClass(cls):
        cls.agents.remove()
        super().tearDownClass()

    def make_server(self, **more):
        return Server(agents_dir=self.agents.path, **more)

    def ended(self, server, run, status="completed"):
        found, _ = server.finish(run)
        self.assertEqual(found["status"], status, found.get("failure"))
        return server.events(run)

    def first(self, server, command):
        run = server.create(f"sim: sh {command}\nsim: reply ok")["id"]
        self.ended(server, run)
        return run

    def then(self, server, run, command):
        """The next turn, and what its command said."""
        turn = server.call("POST", f"/v1/runs/{run}/messages", {"message": f"sim: sh {command}\nsim: reply ok"}, expect=(202,))["runId"]
        return turn, self.output(self.ended(server, turn))

    def fork(self, server, run, turn, command):
        made = server.call("POST", f"/v1/runs/{run}/fork", {"message": f"sim: sh {command}\nsim: reply ok", "atTurn": turn}, expect=(201,))["id"]
        return made, self.output(self.ended(server, made))

    @staticmethod
    def output(events):
        return next(event["payload"] for event in events if event["type"] == "agent.tool_completed")["output"]

    @staticmethod
    def kept(server):
        return entries(server.data / "layers/kept")

    def stands_on(self, server, number):
        """The next launch stands on so many layers, as the file of its use says while it runs."""
        uses = list((server.data / "layers/uses").iterdir())
        self.assertEqual([use.read_text().count("runId") for use in uses], [number])

    def check_turns(self, server):
        run = self.first(server, TURNS[0])
        for number, command in enumerate(TURNS[1:], 2):
            self.then(server, run, command)
            _, seen = self.then(server, run, LOOK)
        self.assertEqual(len(self.kept(server)), 7)
        _, forked = self.fork(server, run, 7, LOOK)
        self.assertEqual(forked, seen)
        turns = [turn["runId"] for turn in server.call("GET", f"/v1/runs/{run}/turns")["items"]]
        patches = [server.download(turn, server.artifacts(turn)["workspace_patch"]["id"]) for turn in turns]
        # The same state out of its archive, and the same patch of all turns.
        shutil.rmtree(server.data / "layers/kept" / turns[-1])
        restored, again = self.fork(server, run, 7, LOOK)
        self.assertEqual(again, seen)
        self.assertEqual(server.download(restored, server.artifacts(restored)["workspace_patch"]["id"]), patches[-1])
        # A turn that only looks changes nothing.
        for turn in turns[2::2]:
            self.assertEqual(server.download(turn, server.artifacts(turn)["workspace_turn_patch"]["id"]), b"")
        return run

    def test_turns_on_layers_see_what_turns_out_of_archives_see(self):
        with self.make_server() as server:
            self.check_turns(server)

    def test_the_same_on_a_server_of_a_plain_user(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become somebody else")
        folder = self.folder_of(PLAIN_USER)
        with self.make_server(user=PLAIN_USER, data=folder, env={"HOME": folder}) as server:
            self.check_turns(server)

    def folder_of(self, user):
        folder = tempfile.mkdtemp(prefix="agentrouter-layers-")
        os.chown(folder, user, user)
        self.addCleanup(shutil.rmtree, folder, True)
        self.addCleanup(lambda: os.path.exists(folder + ".log") and os.unlink(folder + ".log"))
        return folder

    def test_a_fork_from_an_earlier_turn_does_not_see_the_later_ones(self):
        with self.make_server() as server:
            run = self.first(server, "echo one > a; echo one > ~/a")
            self.then(server, run, "echo two > a; echo two > b; echo two > ~/a")
            fork, seen = self.fork(server, run, 1, "cat a ~/a; ls; echo fork > a")
            self.assertEqual(seen, "one\none\na\n")
            self.assertEqual(self.then(server, run, "cat a b ~/a")[1], "two\ntwo\ntwo\n")
            self.assertEqual(self.then(server, fork, "cat a; ls")[1], "fork\na\n")

    def test_a_turn_on_layers_shows_its_files_and_is_cancelled_like_any_other(self):
        with self.make_server() as server:
            run = self.first(server, "echo one > a; mkdir d; echo x > d/x")
            turn = server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: sh rm d/x; echo two > d/y\nsim: sleep 600\nsim: reply no"}, expect=(202,))["runId"]
            server.wait_until(turn, lambda event: event["type"] == "agent.tool_completed")
            self.stands_on(server, 1)
            names = [item["path"] for item in server.call("GET", f"/v1/runs/{turn}/files?recursive=true")["items"] if item["type"] == "file"]
            self.assertEqual(names, ["a", "d/y"])
            self.assertEqual(server.request("GET", f"/v1/runs/{turn}/files/a")[2], b"one\n")
            server.call("POST", f"/v1/runs/{turn}/cancel", {})
            self.ended(server, turn, "cancelled")
            self.assertEqual(self.then(server, run, "cat a d/*")[1], "one\ntwo\n")

    def test_killed_restarted_and_rebooted_servers_go_on_with_everything(self):
        with self.make_server() as server:
            run = self.first(server, "echo one > a")
            server.kill()
            server.start()
            turn = server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: sh echo two >> a\nsim: sleep 1\nsim: reply ok"}, expect=(202,))["runId"]
            server.wait_until(turn, lambda event: event["type"] == "agent.tool_completed")
            self.stands_on(server, 1)
            server.kill()
            server.start()
            self.ended(server, turn)
            self.assertEqual(self.then(server, run, "cat a")[1], "one\ntwo\n")
            self.assertEqual(len(self.kept(server)), 3)
            server.stop()
            (server.data / "layers/boot").write_text("another boot\n")
            server.start()
            wait_for(lambda: not self.kept(server) and not entries(server.data / "layers/gone"), what="the layers of another boot to be removed")
            self.assertEqual(self.then(server, run, "cat a")[1], "one\ntwo\n")
            self.assertEqual(len(self.kept(server)), 1)

    def test_hard_links_stay_together_because_their_turn_is_restored(self):
        with self.make_server() as server:
            run = self.first(server, "echo one > a; ln a b")
            self.assertEqual(self.kept(server), [])
            self.assertEqual(self.then(server, run, "echo two >> a; cat b; stat -c %h b; rm a")[1], "one\ntwo\n2\n")
            self.assertEqual(self.then(server, run, "cat b")[1], "one\ntwo\n")
            self.assertEqual(len(self.kept(server)), 2)

    def test_more_turns_than_layers_may_be(self):
        with self.make_server() as server:
            run = self.first(server, "echo 1 > all; echo 1 > f1")
            for number in range(2, 20):
                self.then(server, run, f"echo {number} >> all; echo {number} > f{number}; rm f{number - 1}")
            self.assertEqual(self.then(server, run, "wc -l < all; ls")[1], "19\nall\nf19\n")

    def test_closing_frees_the_layers(self):
        with self.make_server() as server:
            run = self.first(server, "echo one > a")
            self.then(server, run, "chmod 0 .")
            fork, _ = self.fork(server, run, 1, "cat a")
            server.call("POST", f"/v1/runs/{run}/close", {})
            wait_for(lambda: self.kept(server) == sorted([run, fork]), what="the layer that only the closed one had to be freed")
            self.assertEqual(self.then(server, fork, "cat a")[1], "one\n")
            server.call("POST", f"/v1/runs/{fork}/close", {})
            wait_for(lambda: not self.kept(server), what="all layers to be freed")
            wait_for(lambda: not entries(server.data / "layers/gone"), what="all layers to be removed")

    def test_a_keeper_that_is_killed_in_a_turn_on_layers_leaves_the_state_before_it(self):
        with self.make_server() as server:
            run = self.first(server, "echo one > a")
            turn = server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: sh echo two > a\nsim: sleep 600\nsim: reply no"}, expect=(202,))["runId"]
            server.wait_until(turn, lambda event: event["type"] == "agent.tool_completed")
            for pid in keepers(server.data):
                os.kill(pid, signal.SIGKILL)
            self.ended(server, turn, "failed")
            self.assertEqual(self.then(server, run, "cat a")[1], "one\n")


main()
