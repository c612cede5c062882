//! The clients: what each is called, where it comes from, the program that uses it as people do, and what it needs for
//! its credentials beyond a pod with a role.

pub struct Client {
    pub name: &'static str,
    pub source: Source,
    /// Below `programs`; its ending says what runs it. It gets `HOST` (of moto), `BUCKET`, `OBJECT`, and a region.
    pub program: &'static str,
    pub does: &'static str,
    pub needs: &'static str,
    /// What it prints only if it has the credentials of the pod's role; N is the pod's number.
    pub proof: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A package, the upstream version that the page's table is of, and a file that it brings
    Debian(&'static str, &'static str, &'static str),
    /// Its line in `requirements.txt`
    PyPi(&'static str),
    /// Its line in `javascript/package.json`
    Npm(&'static str),
}

use Source::{Debian, Npm, PyPi};

pub const CLIENTS: [Client; 14] = [
    Client {
        name: "AWS CLI 2",
        source: Debian("awscli", "2.9.19", "/usr/bin/aws"),
        program: "awscli.sh",
        does: LISTS,
        needs: NOTHING,
        proof: BOOK,
    },
    Client {
        name: "SDK for C++, in pyarrow",
        source: PyPi("pyarrow"),
        program: "arrow.py",
        does: LISTS,
        needs: NOTHING,
        proof: BOOK,
    },
    Client {
        name: "SDK for Go 1, in rclone",
        source: Debian("rclone", "1.60.1", "/usr/bin/rclone"),
        program: "rclone.sh",
        does: LISTS,
        needs: "`--s3-env-auth`",
        proof: BOOK,
    },
    Client {
        name: "SDK for JavaScript 2",
        source: Npm("aws-sdk"),
        program: "sdk2.cjs",
        does: LISTS,
        needs: NOTHING,
        proof: BOOK,
    },
    Client {
        name: "SDK for Ruby 3",
        source: Debian("ruby-aws-sdk-s3", "1.117.2", "/usr/bin/ruby"),
        program: "sdk.rb",
        does: LISTS,
        needs: NOTHING,
        proof: BOOK,
    },
    Client {
        name: "AsyncAws for PHP",
        source: Debian("php-async-aws-core", "1.18.1", "/usr/bin/php"),
        program: "async_aws.php",
        does: "asks STS who it is",
        needs: NOTHING,
        proof: "assumed-role/app-N/",
    },
    Client {
        name: "aiobotocore",
        source: PyPi("aiobotocore"),
        program: "aio.py",
        does: LISTS,
        needs: NOTHING,
        proof: BOOK,
    },
    Client {
        name: "GDAL, in pyogrio",
        source: PyPi("pyogrio"),
        program: "gdal.py",
        does: "opens an object as a data set",
        needs: NOTHING,
        proof: BOOK,
    },
    Client {
        name: "minio-go, in restic",
        source: Debian("restic", "0.14.0", "/usr/bin/restic"),
        program: "restic.sh",
        does: "makes a repository and reads it",
        needs: NOTHING,
        proof: "bucket-N/backup",
    },
    Client {
        name: "minio for Python",
        source: PyPi("minio"),
        program: "minio_py.py",
        does: LISTS,
        needs: "`credentials=IamAwsProvider()`",
        proof: BOOK,
    },
    Client {
        name: "object_store, in polars",
        source: PyPi("polars"),
        program: "polars_csv.py",
        does: READS,
        needs: NOTHING,
        proof: BOOK,
    },
    Client {
        name: "OpenDAL",
        source: PyPi("opendal"),
        program: "opendal_read.py",
        does: READS,
        needs: NOTHING,
        proof: BOOK,
    },
    Client {
        name: "s3cmd",
        source: Debian("s3cmd", "2.3.0", "/usr/bin/s3cmd"),
        program: "s3cmd.sh",
        does: LISTS,
        needs: "a configuration file without keys",
        proof: BOOK,
    },
    Client {
        name: "s3fs",
        source: Debian("s3fs", "1.90", "/usr/bin/s3fs"),
        program: "s3fs.sh",
        does: "mounts the bucket and reads a file",
        needs: "`-o iam_role=auto`",
        proof: BOOK,
    },
];

const LISTS: &str = "lists a bucket";
const READS: &str = "reads an object";
const NOTHING: &str = "nothing";
const BOOK: &str = "book-N.csv";
