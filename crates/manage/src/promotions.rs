//! Promotions and their vouchers: defined, changed, made.

use revtrail_core::promotion::{Promotion, PromotionInput};
use revtrail_core::record::{Code, Problems, Record, RecordProblem as Bad};
use revtrail_core::value::id::{PromotionId, VoucherCode};
use revtrail_files::{FileFault, FileRules, Format, Layout, NotUtf8, Packing, Records};
use revtrail_store::market::once::CallRecord;
use revtrail_store::promotions::vouchers::{Changed, Made, NewVoucher, Pattern};
use revtrail_web::answer::{json, located};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::etag::tagged;
use revtrail_web::patch::merge;
use revtrail_web::problem::Problem;
use serde_json::{Map, Value, json};

use crate::{once, valid};

/// The most vouchers of one call: they take about 250 transactions, some seconds.
pub(crate) const VOUCHERS_MAX: usize = 10_000;
/// The characters that codes are drawn from if the call names none. No letter or digit of them is easily taken for another.
pub(crate) const CHARSET: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// The most characters to draw codes from.
pub(crate) const CHARSET_CHARS_MAX: usize = 256;
/// How many characters drawn codes have if the call names no length: 32^8 is 10^12.
pub(crate) const LENGTH: i64 = 8;
/// For how many milliseconds a call takes in records that waited for a promotion. The next runs take in the rest.
const ADMIT_MS_MAX: i64 = 15_000;

pub(crate) async fn put(call: Call) -> Result<Response, Problem> {
    let submitted = call.json_object()?;
    let id = call.new_id("id", PromotionId::new)?;
    submit(&call, &id, |_| Ok(submitted.to_owned())).await
}

pub(crate) async fn patch(call: Call) -> Result<Response, Problem> {
    let patch = call.json_object()?;
    let id = call.id("id", PromotionId::new)?;
    let record = call.record()?;
    submit(&call, &id, |current| {
        let current = current.ok_or_else(unknown)?;
        let submitted = as_submitted(current, record.names("voucher"));
        Ok(merge(&Value::Object(submitted).to_string(), patch))
    })
    .await
}

/// A promotion as a person submits it. What its voucher gives is beside the rest or, as that is allowed too, in `voucher`.
fn as_submitted(promotion: &Promotion, in_voucher: bool) -> Map<String, Value> {
    let mut submitted = match promotion.shown() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    // Nobody can submit these fields.
    for field in ["promotion_id", "created_at"] {
        submitted.remove(field);
    }
    let rules = submitted
        .get_mut("validation_rules")
        .and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
        rule.remove("version");
    }
    if in_voucher {
        let fields = ["type", "value", "currency"];
        let gives = fields
            .into_iter()
            .filter_map(|name| submitted.remove_entry(name));
        let gives: Map<String, Value> = gives.collect();
        submitted.insert("voucher".to_owned(), gives.into());
    }
    submitted
}

/// Replaces the current promotion by what `submitted` makes of it.
async fn submit(
    call: &Call,
    id: &PromotionId,
    submitted: impl Fn(Option<&Promotion>) -> Result<String, Problem>,
) -> Result<Response, Problem> {
    let market = call.market()?;
    let by = &call.caller()?.name;
    let change = |current: Option<&Promotion>| {
        call.if_match(current.map(Promotion::shown).as_ref())?;
        let submitted = submitted(current)?;
        let record = Record::from_json(&submitted).map_err(|bad| Problem::invalid(bad.into()))?;
        PromotionInput::read(id.clone(), &record, call.now).map_err(Problem::invalid)
    };
    let (new, promotion) = market
        .promotions()
        .submit_promotion(id, change, by, call.now)
        .await??;
    let app = call.app.clone();
    let clock = move || app.now();
    let stop_at = clock().plus_ms(ADMIT_MS_MAX);
    market
        .redemptions()
        .admit_waiting(id, &clock, stop_at)
        .await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let shown = promotion.shown();
    Ok(tagged(located(status, call.path(), &shown), &shown))
}

/// What a request for vouchers asks for.
enum VoucherRequest {
    Codes(Vec<NewVoucher>),
    Pattern(Pattern),
}

pub(crate) async fn post_vouchers(call: Call) -> Result<Response, Problem> {
    let asked = match call.media_type().as_str() {
        "text/csv" => VoucherRequest::Codes(from_csv(&call.body)?),
        _ => from_json(call.json_object()?)?,
    };
    let promotion = known(&call).await?;
    let Some(named) = call.once()? else {
        let made = make(&call, &promotion, asked, None).await?;
        return Ok(json(StatusCode::CREATED, &made));
    };
    let (store, named) = (call.app.store(), &named);
    // The call takes several transactions, so it is on record before the first.
    let begin = |record: CallRecord| async move {
        Ok(store.begin(named, &record).await?.then_some(record))
    };
    let record = once::only(&call, named, begin).await?;
    if let Some(answer) = &record.answer {
        return Ok(json(StatusCode::CREATED, answer));
    }
    let made = make(&call, &promotion, asked, Some(&record)).await?;
    store.end(named, &record.answered(made.clone())).await?;
    Ok(json(StatusCode::CREATED, &made))
}

/// Makes vouchers, and says how many.
async fn make(
    call: &Call,
    promotion: &Promotion,
    asked: VoucherRequest,
    once: Option<&CallRecord>,
) -> Result<Value, Problem> {
    let market = call.market()?;
    let by = &call.caller()?.name;
    let made = match asked {
        VoucherRequest::Codes(codes) => {
            let made = market
                .vouchers()
                .make_vouchers(promotion, &codes, by, call.now, once);
            made.await?
        }
        VoucherRequest::Pattern(pattern) => {
            let made = market
                .vouchers()
                .generate_vouchers(promotion, &pattern, by, call.now, once);
            let created = made.await?;
            if created == 0 && pattern.count > 0 {
                let detail = "no code of this pattern is new to the marketplace: give a longer length or another prefix";
                return Err(Problem::conflict("no_new_code", detail));
            }
            Made {
                created,
                existing: 0,
            }
        }
    };
    Ok(json!({"created": made.created, "existing": made.existing}))
}

fn unknown() -> Problem {
    Problem::not_found("this marketplace has no such promotion")
}

async fn known(call: &Call) -> Result<Promotion, Problem> {
    let id = call.id("id", PromotionId::new)?;
    let found = call.market()?.promotions().promotion(&id).await?;
    found.ok_or_else(unknown)
}

fn bad(field: &str, code: Code, detail: impl Into<String>) -> Problem {
    Problem::invalid(Bad::of(field, code, detail).into())
}

fn too_many(count: usize) -> Problem {
    Problem::too_large(format!(
        "{count} vouchers: a call makes at most {VOUCHERS_MAX}"
    ))
}

fn from_json(body: &str) -> Result<VoucherRequest, Problem> {
    let record = Record::from_json(body).map_err(|bad| Problem::invalid(bad.into()))?;
    let one = |problem: Bad| Problem::invalid(problem.into());
    let limit = record.count("limit").map_err(one)?;
    if let Some(codes) = record.raw("codes") {
        let codes: Vec<Value> = serde_json::from_str(codes)
            .map_err(|_| bad("codes", Code::WrongType, "codes is a list of texts"))?;
        if codes.len() > VOUCHERS_MAX {
            return Err(too_many(codes.len()));
        }
        let mut problems = Problems::new();
        let mut vouchers = Vec::new();
        for (place, code) in codes.iter().enumerate() {
            let field = format!("codes[{place}]");
            match code.as_str().map(VoucherCode::new) {
                Some(Ok(code)) => vouchers.push(NewVoucher { code, limit }),
                Some(Err(why)) => problems.push(Bad::of(&field, Code::BadId, why.to_string())),
                None => problems.push(Bad::of(&field, Code::WrongType, "a code is a text")),
            }
        }
        valid(problems)?;
        return Ok(VoucherRequest::Codes(vouchers));
    }
    let Some(count) = record.count("generate").map_err(one)? else {
        let detail = "codes (a list) or generate (a number) is needed";
        return Err(bad("codes", Code::Missing, detail));
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > VOUCHERS_MAX {
        return Err(too_many(count));
    }
    let prefix = record.text("prefix").map_err(one)?.unwrap_or_default();
    let length = record.count("length").map_err(one)?.unwrap_or(LENGTH);
    let charset = record.text("charset").map_err(one)?;
    let mut charset: Vec<char> = charset.as_deref().unwrap_or(CHARSET).chars().collect();
    charset.sort_unstable();
    charset.dedup();
    if charset.is_empty()
        || charset.len() > CHARSET_CHARS_MAX
        || charset.iter().any(|c| c.is_control())
    {
        let detail = "charset has 1 to 256 characters, none of them a control character";
        return Err(bad("charset", Code::UnknownValue, detail));
    }
    let longest = charset.iter().map(|c| c.len_utf8()).max().unwrap_or(1);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length == 0 || length.saturating_mul(longest).saturating_add(prefix.len()) > 128 {
        let detail =
            "length: a code has 1 to 128 bytes, the prefix included, and at least one is drawn";
        return Err(bad("length", Code::UnknownValue, detail));
    }
    if prefix.chars().any(char::is_control) {
        return Err(bad(
            "prefix",
            Code::BadId,
            "prefix holds no control characters",
        ));
    }
    let there_are = (charset.len() as u128).saturating_pow(length as u32);
    if there_are < count as u128 {
        let detail = format!(
            "generate: there are only {there_are} codes of {length} out of {} characters",
            charset.len()
        );
        return Err(bad("generate", Code::UnknownValue, detail));
    }
    Ok(VoucherRequest::Pattern(Pattern {
        count,
        prefix: prefix.into_owned(),
        length,
        charset,
        limit,
    }))
}

/// Vouchers as CSV, as files are read. The problem of a wrong row names the line on which the row begins, and then nothing is
/// made.
fn from_csv(body: &[u8]) -> Result<Vec<NewVoucher>, Problem> {
    let layout = Layout {
        format: Format::Csv,
        packing: Packing::Plain,
    };
    let rules = FileRules {
        needed: &["code"],
        not_utf8: NotUtf8::FailsFile,
    };
    let mut rows = Records::open(body, Some(layout), rules).map_err(|fault| not_csv(1, &fault))?;
    let (mut vouchers, mut problems) = (Vec::new(), Problems::new());
    loop {
        let row = match rows.next_line() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(fault) => return Err(not_csv(rows.line(), &fault)),
        };
        let read = row.record.and_then(|record| {
            let code = record.needed_id("code", VoucherCode::new)?;
            let limit = record.count("limit")?;
            Ok(NewVoucher { code, limit })
        });
        match read {
            Ok(voucher) => vouchers.push(voucher),
            Err(problem) => problems.push(in_line(row.number, problem)),
        }
        if vouchers.len() + problems.total() > VOUCHERS_MAX {
            return Err(too_many(VOUCHERS_MAX + 1));
        }
    }
    valid(problems)?;
    Ok(vouchers)
}

fn in_line(line: u64, problem: Bad) -> Bad {
    let field = problem.field.map(|field| format!(", {field}"));
    Bad {
        field: Some(format!("line {line}{}", field.unwrap_or_default())),
        detail: format!("line {line}: {}", problem.detail),
        ..problem
    }
}

fn not_csv(line: u64, fault: &FileFault) -> Problem {
    bad(&format!("line {line}"), Code::NotCsv, fault.to_string())
}

pub(crate) async fn put_voucher(call: Call) -> Result<Response, Problem> {
    let id = call.id("id", PromotionId::new)?;
    let code = call.id("code", VoucherCode::new)?;
    let record = call.record()?;
    let mut problems = Problems::new();
    let mut keep = |problem: Bad| problems.push(problem);
    let submitted_disabled = record.raw("disabled").is_some();
    let disabled = record
        .flag("disabled")
        .map_err(&mut keep)
        .unwrap_or_default();
    // A limit that is submitted as null is no limit. A limit that is not submitted stays.
    let submitted_limit = record.names("limit");
    let limit = record.count("limit").map_err(&mut keep).unwrap_or_default();
    valid(problems)?;
    let market = call.market()?;
    let changed = market.vouchers().change_voucher(
        &id,
        &code,
        submitted_disabled.then_some(disabled),
        submitted_limit.then_some(limit),
        &call.caller()?.name,
        call.now,
    );
    match changed.await? {
        Changed::Done(voucher) => Ok(json(StatusCode::OK, &voucher)),
        Changed::Unknown => Err(Problem::not_found("this promotion has no such voucher")),
    }
}
