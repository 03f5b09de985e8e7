"""Serves an independent fake of the API for tests, and makes it fail when it is told to.

    fake.py CERTIFICATE KEY

Prints its port. Each line of the input is a JSON object: {"token": [NAME, SECRET]} makes a token, {"call": NAME, "arguments": [...]} calls a method of
the fake, {"vm": NUMBER, "set": {...}} changes a VM, {"node": NAME, "online": BOOL} a node, {"lose": SHARE} the
share of answers that are lost after all was done. Each is answered by a line. Ends with its input.
"""

import asyncio
import json
import logging
import random
import sys

from fakepve.server import FakePve


class Lossy(FakePve):
    """Does what it is asked to, and then perhaps says nothing."""

    lose_rate = 0.0
    chance = random.Random(7)

    async def _answer(self, request, *rest):
        answer = await super()._answer(request, *rest)
        if self.chance.random() < self.lose_rate:
            request.transport.close()
        return answer


def populate(pve):
    pve.add_node('pve2')
    pve.pools['warren'] = set()
    pve.storages['local']['content'] = 'iso,vztmpl,backup,snippets,images'
    disks = {'scsi0': 'local-lvm:base-9000-disk-0,size=10G', 'net0': 'virtio=BC:24:11:00:00:01,bridge=vmbr0',
             'agent': '1', 'cores': 2, 'memory': '2048'}
    pve.add_vm(9000, 'base', config=disks, template=True)
    running = pve.add_vm(200, 'runs', status='running', config=dict(disks, scsi0='local-lvm:vm-200-disk-0,size=10G'))
    running.agent = {'exec': {'systemctl is-active k3s': {'out-data': 'active\n', 'exitcode': 3}}}
    pve.add_vm(201, 'stands', config={'memory': '512'})


def told(pve, order):
    if 'token' in order:
        name, secret = order['token']
        pve.apitokens[name] = secret
    elif 'call' in order:
        getattr(pve, order['call'])(*order.get('arguments', []), **order.get('named', {}))
    elif 'vm' in order:
        for name, value in order['set'].items():
            if name == 'config':
                pve.vm(order['vm']).config.update(value)
            else:
                setattr(pve.vm(order['vm']), name, value)
    elif 'lose' in order:
        pve.lose_rate = order['lose']
    elif 'node' in order:
        pve.nodes[order['node']]['online'] = order['online']


async def main():
    certificate, key = sys.argv[1:]
    pve = Lossy(user='root@pam', password='secret', host='127.0.0.1', port=0)
    pve.time_scale = 0.02
    populate(pve)
    await pve.start(certificate, key)
    print(pve.port, flush=True)
    lines = asyncio.get_running_loop()
    while line := await lines.run_in_executor(None, sys.stdin.readline):
        told(pve, json.loads(line))
        print('done', flush=True)


# What it is told to break, it would complain about.
logging.getLogger('aiohttp.server').setLevel(logging.CRITICAL)
asyncio.run(main())
