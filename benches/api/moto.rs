//! The peer: moto's server, what one would point a test at today. It keeps nothing and checks no
//! signature.

use super::bed::{
    program::{Program, free_address},
    request::{Request, first},
};
use std::{env, path::Path, process::Command, time::Duration};

/// Where it is: `MALLEE_BENCH_MOTO`, which `make bench` sets. Without it, its rows are left out
/// and said to be.
pub fn start(directory: &Path) -> Option<Program> {
    let Some(path) = env::var_os("MALLEE_BENCH_MOTO") else {
        println!("(no rows with moto: MALLEE_BENCH_MOTO does not name a `moto_server`)");
        return None;
    };
    let address = free_address();
    let mut command = Command::new(path);
    command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
    let mut program = Program::start(&mut command, address, &directory.join("moto.log"));
    program.wait(&super::cloud::regions(), Duration::from_secs(60));
    Some(program)
}

/// One launch of one of moto's own images.
pub fn a_launch(moto: &Program) -> Request {
    let images = Request::new("us-east-1", "DescribeImages", "Owner.1=amazon").ask(moto.address);
    let image = first(&images, "imageId");
    let parameters = format!("ImageId={image}&MinCount=1&MaxCount=1&InstanceType=m1.small");
    Request::new("us-east-1", "RunInstances", &parameters)
}
