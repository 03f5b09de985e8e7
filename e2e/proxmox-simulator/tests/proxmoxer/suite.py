"""The whole life of a VM by proxmoxer, a client that nobody here wrote."""

import io
import json
import sys
import time
import unittest

import requests
from proxmoxer import ProxmoxAPI
from proxmoxer.core import ResourceException
from proxmoxer.tools import Tasks

ADDRESS, AUTHORITY = sys.argv.pop(1), sys.argv.pop(1)
HOST, PORT = ADDRESS.rsplit(":", 1)


def client(**login):
    return ProxmoxAPI(HOST, port=int(PORT), verify_ssl=AUTHORITY, **login)


def by_token():
    return client(user="root@pam", token_name="test", token_value="secret")


class Life(unittest.TestCase):
    def setUp(self):
        self.api = by_token()
        self.node = self.api.nodes("pve1")

    def end(self, task):
        status = Tasks.blocking_status(self.api, task, timeout=30, polling_interval=0.05)
        return status["exitstatus"]

    def clone(self, number, **more):
        task = self.node.qemu(9000).clone.post(newid=number, **more)
        self.assertEqual(Tasks.decode_upid(task)["type"], "qmclone")
        return self.end(task)

    def test_a_vm_lives_from_clone_to_removal(self):
        self.assertEqual(self.clone(200, name="proxmoxer", full=1, description="a=b;c&d+e"), "OK")
        vm = self.node.qemu(200)
        config = vm.config.get()
        self.assertEqual((config["name"], config["description"]), ("proxmoxer", "a=b;c&d+e"))
        vm.config.put(cores=3, tags="b;a", ipconfig0="ip=25.77.0.200/24,gw=25.77.0.1")
        self.assertEqual(vm.config.get()["tags"], "a;b")
        self.assertEqual(self.end(vm.resize.put(disk="scsi0", size="+1G")), "OK")
        self.assertEqual(self.end(vm.status.start.post()), "OK")
        self.assertEqual(vm.status.current.get()["status"], "running")
        deadline = time.monotonic() + 10
        while True:
            try:
                vm.agent.ping.post()
                break
            except ResourceException:
                self.assertLess(time.monotonic(), deadline)
        cards = vm.agent("network-get-interfaces").get()["result"]
        addresses = [a["ip-address"] for card in cards for a in card["ip-addresses"]]
        self.assertIn("25.77.0.200", addresses)
        self.assertEqual(self.end(vm.status.shutdown.post(timeout=20)), "OK")
        self.assertEqual(self.end(vm.delete(purge=1)), "OK")
        with self.assertRaises(ResourceException) as gone:
            vm.config.get()
        self.assertEqual(gone.exception.status_code, 500)
        self.assertIn("does not exist", str(gone.exception))

    def test_a_password_gives_a_ticket(self):
        api = client(user="root@pam", password="secret")
        self.assertEqual(api.version.get()["release"], self.api.version.get()["release"])
        api.pools.post(poolid="by-ticket")
        self.assertIn("by-ticket", [pool["poolid"] for pool in api.pools.get()])
        api.pools("by-ticket").delete()

    def test_a_wrong_parameter_is_named(self):
        with self.assertRaises(ResourceException) as wrong:
            self.node.qemu(9000).clone.post(newid=201, other=1)
        self.assertEqual(wrong.exception.status_code, 400)
        self.assertIn("other", wrong.exception.errors)

    def test_an_image_is_uploaded(self):
        image = io.BytesIO(b"x" * 3_000_000)
        image.name = "proxmoxer.iso"
        storage = self.node.storage("shared")
        self.assertEqual(self.end(storage.upload.post(content="iso", filename=image)), "OK")
        content = storage.content.get(content="iso")
        self.assertEqual([(c["volid"], c["size"]) for c in content], [("shared:iso/proxmoxer.iso", 3_000_000)])
        self.assertEqual(self.end(storage.content("shared:iso/proxmoxer.iso").delete()), "OK")

    def test_of_clones_to_one_id_one_gets_it(self):
        tasks = []
        for _ in range(4):
            try:
                tasks.append(self.node.qemu(9000).clone.post(newid=202))
            except ResourceException as late:
                self.assertIn("config file already exists", str(late))
        ends = [self.end(task) for task in tasks]
        self.assertEqual(ends.count("OK"), 1, ends)
        self.assertEqual(self.end(self.node.qemu(202).delete()), "OK")

    def test_a_log_is_read_by_the_tools_of_the_client(self):
        task = self.node.qemu(9000).clone.post(newid=203, full=1)
        self.assertEqual(self.end(task), "OK")
        lines = Tasks.decode_log(self.node.tasks(task).log.get(limit=500))
        self.assertTrue(lines.endswith("TASK OK"), lines)
        self.assertIn("transferred", lines)
        self.assertEqual(self.end(self.node.qemu(203).delete()), "OK")

    def test_a_wrong_secret_is_refused(self):
        with self.assertRaises(ResourceException) as wrong:
            client(user="root@pam", token_name="test", token_value="other").version.get()
        self.assertEqual(wrong.exception.status_code, 401)

    def test_requests_sees_what_is_on_the_wire(self):
        url = f"https://{ADDRESS}/api2/json/nodes/pve1/qemu/9000/config"
        headers = {"Authorization": "PVEAPIToken=root@pam!test=secret"}
        with requests.Session() as session:
            session.trust_env = False
            session.verify = AUTHORITY
            session.headers.update(headers)
            true = session.put(url, data={"onboot": "true"})
            self.assertEqual((true.status_code, true.headers["Connection"]), (400, "close"))
            self.assertEqual(session.put(url, json={"onboot": True}).status_code, 200)
            chunked = session.put(url, data=(part for part in [b"onboot=", b"0"]))
            self.assertEqual(chunked.status_code, 501)
            body = session.delete(url.replace("/config", ""), data={"purge": 1})
            self.assertEqual(body.status_code, 501)
            gone = session.get(url.replace("9000", "999"))
            self.assertEqual(gone.reason, json.loads(gone.text)["message"])


if __name__ == "__main__":
    unittest.main()
