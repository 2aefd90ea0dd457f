"""Our signatures against botocore's, both ways."""
import datetime
import hashlib
import json
import os
import random
import subprocess
import types
import unittest
import urllib.parse
import urllib.request
from unittest import mock

import boto3
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from s3 import ACCESS, S3, SECRET

SIGNER = os.environ["AGENTROUTER_S3_SIGNER"]
LETTERS = "abcXYZ019-_.~ /+&=%$@!*'()[]{};:,<>#?^`|\"\\äß€😀"


def quoted(text, safe=""):
    return urllib.parse.quote(text, safe=safe + "-_.~")


def some_text(chance, least=1, most=20, letters=LETTERS):
    return "".join(chance.choice(letters) for _ in range(chance.randint(least, most)))


def some_order(chance):
    headers = {"content-type": "application/octet-stream"} if chance.random() < 0.5 else {}
    for _ in range(chance.randint(0, 3)):
        value = some_text(chance, letters="abc XYZ019-/;=").strip() or "x"
        headers["x-amz-meta-" + some_text(chance, 1, 8, "abcxyz-") + "q"] = value
    query = {some_text(chance, 1, 8): some_text(chance, 0, 12) for _ in range(chance.randint(0, 4))}
    return {"method": chance.choice(["GET", "PUT", "POST", "DELETE", "HEAD"]), "host": chance.choice(["s3.amazonaws.com", "127.0.0.1:9000", "b.s3.eu-central-1.amazonaws.com"]),
            "path": "/" + some_text(chance, 0, 40), "query": list(query.items()), "headers": list(headers.items()),
            "payload": hashlib.sha256(some_text(chance).encode()).hexdigest(), "access": "AKID" + some_text(chance, 4, 12, "ABC019"),
            "secret": some_text(chance, 16, 40, "abcXYZ019/+"), "token": chance.choice(["", some_text(chance, 8, 30, "abcXYZ/+=")]),
            "region": chance.choice(["us-east-1", "eu-central-1"]), "at": chance.randint(0, 4_000_000_000)}


def ours(orders):
    done = subprocess.run([SIGNER], input="".join(json.dumps(o) + "\n" for o in orders), capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def theirs(order):
    class Then(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return cls.utcfromtimestamp(order["at"])

    keys = Credentials(order["access"], order["secret"], order["token"] or None)
    url = f"https://{order['host']}{quoted(order['path'], '/')}"
    if order["query"]:
        url += "?" + "&".join(f"{quoted(a)}={quoted(b)}" for a, b in order["query"])
    request = AWSRequest(order["method"], url, headers=dict(order["headers"]))
    if "lifetime" in order:
        auth = botocore.auth.S3SigV4QueryAuth(keys, "s3", order["region"], order["lifetime"])
    else:
        auth = botocore.auth.S3SigV4Auth(keys, "s3", order["region"])
        auth.payload = lambda request: order["payload"]
    with mock.patch("botocore.auth.datetime", types.SimpleNamespace(datetime=Then)):
        auth.add_auth(request)
    return request


class Signer(unittest.TestCase):
    def test_random_requests_have_the_signatures_of_botocore(self):
        chance = random.Random(7)
        orders = [some_order(chance) for _ in range(400)]
        for order, made in zip(orders, ours(orders), strict=True):
            expected = theirs(order).headers
            for name in ("Authorization", "X-Amz-Date", "X-Amz-Content-SHA256"):
                self.assertEqual(made["headers"][name.lower()], expected[name], order)
            self.assertEqual(made["headers"].get("x-amz-security-token"), expected.get("X-Amz-Security-Token"))

    def test_random_links_have_the_signatures_of_botocore(self):
        chance = random.Random(8)
        orders = [some_order(chance) | {"method": "GET", "headers": [], "lifetime": chance.randint(1, 604800)} for _ in range(400)]
        for order, made in zip(orders, ours(orders), strict=True):
            expected = urllib.parse.parse_qsl(urllib.parse.urlsplit(theirs(order).url).query, keep_blank_values=True)
            self.assertEqual(sorted(urllib.parse.parse_qsl(made["query"], keep_blank_values=True)), sorted(expected), order)


class StrictServer(unittest.TestCase):
    def client(self, s3, secret=SECRET):
        return boto3.client("s3", endpoint_url=s3.endpoint, aws_access_key_id=ACCESS, aws_secret_access_key=secret, region_name="us-east-1",
                            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, signature_version="s3v4"))

    def test_botocore_is_understood(self):
        key = "a b/c+d ä~!'()$&=@:,;%25"
        with S3() as s3:
            client = self.client(s3)
            client.put_object(Bucket="artifacts", Key=key, Body=b"hello", Metadata={"x": "y"})
            self.assertEqual(client.get_object(Bucket="artifacts", Key=key)["Body"].read(), b"hello")
            self.assertEqual(client.head_object(Bucket="artifacts", Key=key)["Metadata"], {"x": "y"})
            upload = client.create_multipart_upload(Bucket="artifacts", Key="m")["UploadId"]
            tags = [client.upload_part(Bucket="artifacts", Key="m", UploadId=upload, PartNumber=n, Body=b)["ETag"]
                    for n, b in ((1, b"x" * (5 << 20)), (2, b"yz"))]
            self.assertEqual(len(client.list_multipart_uploads(Bucket="artifacts")["Uploads"]), 1)
            client.complete_multipart_upload(Bucket="artifacts", Key="m", UploadId=upload,
                                             MultipartUpload={"Parts": [{"PartNumber": n + 1, "ETag": t} for n, t in enumerate(tags)]})
            self.assertEqual(client.head_object(Bucket="artifacts", Key="m")["ContentLength"], (5 << 20) + 2)
            self.assertEqual([o["Key"] for o in client.list_objects_v2(Bucket="artifacts")["Contents"]], [key, "m"])
            link = client.generate_presigned_url("get_object", Params={"Bucket": "artifacts", "Key": key}, ExpiresIn=60)
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(link, timeout=30) as reply:
                self.assertEqual(reply.read(), b"hello")

    def test_a_wrong_secret_is_refused(self):
        s3 = S3()
        with self.assertRaises(ClientError) as refused:
            self.client(s3, SECRET + "x").list_objects_v2(Bucket="artifacts")
        self.assertEqual(refused.exception.response["Error"]["Code"], "SignatureDoesNotMatch")
        s3.close(expected={"SignatureDoesNotMatch"})

    def test_small_parts_and_parts_out_of_order_are_refused(self):
        s3 = S3()
        client = self.client(s3)
        upload = client.create_multipart_upload(Bucket="artifacts", Key="m")["UploadId"]
        tags = [client.upload_part(Bucket="artifacts", Key="m", UploadId=upload, PartNumber=n, Body=b"small")["ETag"] for n in (1, 2)]
        for numbers, code in (((1, 2), "EntityTooSmall"), ((2, 1), "InvalidPartOrder")):
            with self.assertRaises(ClientError) as refused:
                client.complete_multipart_upload(Bucket="artifacts", Key="m", UploadId=upload,
                                                 MultipartUpload={"Parts": [{"PartNumber": n, "ETag": tags[n - 1]} for n in numbers]})
            self.assertEqual(refused.exception.response["Error"]["Code"], code)
        s3.close(expected={"EntityTooSmall", "InvalidPartOrder"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
