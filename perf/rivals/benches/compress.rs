//! What compressing a body of 500 events by gzip costs, by library and level; each writes the whole body at once with a
//! compressor and a buffer that are used again. The sizes are printed once. `copy` is the base.
//!
//! siem-forward compresses by zlib-rs at level 1.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compress, Compression, FlushCompress, Status};
use libdeflater::{CompressionLvl, Compressor};
use siem_forward_rivals::body;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

const LEVELS: [u8; 3] = [1, 3, 6];
/// The window of 32 KiB, and that a head and a foot of gzip are wanted.
const GZIP_WINDOW: i32 = 15 + 16;

type Compresses<'a> = Box<dyn FnMut(&[u8], &mut Vec<u8>) -> usize + 'a>;

fn zlib_rs<'a>(level: u8) -> Compresses<'a> {
    let config = DeflateConfig { level: level.into(), window_bits: GZIP_WINDOW, ..DeflateConfig::default() };
    let mut deflate = Deflate::new_with_config(config);
    Box::new(move |body, out| {
        deflate.reset();
        let status = deflate.compress(body, out, DeflateFlush::Finish).expect("room");
        assert!(matches!(status, zlib_rs::Status::StreamEnd));
        usize::try_from(deflate.total_out()).expect("it fits")
    })
}

fn zlib_ng<'a>(level: u8) -> Compresses<'a> {
    let mut compress = Compress::new_gzip(Compression::new(level.into()), 15);
    Box::new(move |body, out| {
        compress.reset();
        let status = compress.compress(body, out, FlushCompress::Finish).expect("room");
        assert_eq!(status, Status::StreamEnd);
        usize::try_from(compress.total_out()).expect("it fits")
    })
}

fn libdeflate<'a>(level: u8) -> Compresses<'a> {
    let mut compressor = Compressor::new(CompressionLvl::new(level.into()).expect("a level"));
    Box::new(move |body, out| compressor.gzip_compress(body, out).expect("room"))
}

/// Built without cmake, all of zlib-ng is compiled for AVX-512, also what finds out whether there is any: elsewhere it does not
/// run.
fn runs_zlib_ng() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bw") && std::arch::is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

fn compress(criterion: &mut Criterion) {
    if !runs_zlib_ng() {
        eprintln!("zlib_ng is left out: as it is built here it needs a processor with AVX-512");
    }
    let body = body();
    let mut out = vec![0; body.len() + 1024];
    let mut group = criterion.benchmark_group("compress");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("copy", |bencher| bencher.iter(|| out[..body.len()].copy_from_slice(black_box(&body))));
    for level in LEVELS {
        let mut each = vec![("zlib_rs", zlib_rs(level)), ("libdeflate", libdeflate(level))];
        if runs_zlib_ng() {
            each.insert(1, ("zlib_ng", zlib_ng(level)));
        }
        for (name, mut compress) in each {
            let bytes = compress(&body, &mut out);
            println!("size: compress/{name}/{level} {bytes} of {}", body.len());
            group.bench_function(BenchmarkId::new(name, level), |bencher| {
                bencher.iter(|| compress(black_box(&body), &mut out));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, compress);
criterion_main!(benches);
