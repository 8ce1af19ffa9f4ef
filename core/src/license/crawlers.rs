//! Who is no visitor: crawlers and health checks, by what they call themselves.
//!
//! A list of our own, and no library: those that there are count every HTTP library (curl, OkHttp, Java) as a crawler, and that
//! may be the product itself, which then would take no unit. What is not sure is a visitor; the application names the rest.

/// What only crawlers call themselves, beside a word that ends with "bot"; in lower case.
const CRAWLERS: [&str; 64] = [
    "+http",
    "analyzer/",
    "anthropic-ai",
    "apis-google",
    "archive.org_",
    "archiver",
    "ask jeeves",
    "bingpreview",
    "bytespider",
    "chatgpt-user",
    "checklink",
    "chrome-lighthouse",
    "claude-user",
    "claude-web",
    "cohere-ai",
    "crawl",
    "dareboost",
    "embedly",
    "extractor",
    "facebookcatalog",
    "facebookexternalhit",
    "feedfetcher",
    "fetcher",
    "flipboardproxy",
    "google page speed",
    "google search console",
    "google web preview",
    "google-inspectiontool",
    "google-read-aloud",
    "google-site-verification",
    "googleother",
    "gtmetrix",
    "harvest",
    "heritrix",
    "httrack",
    "ia_archiver",
    "indexer",
    "larbin",
    "link checker",
    "link validator",
    "linkcheck",
    "mediapartners-google",
    "meta-external",
    "nutch",
    "perplexity-user",
    "ptst/",
    "scraper",
    "scrapy",
    "screaming frog",
    "search engine",
    "searchengine",
    "skypeuripreview",
    "slurp",
    "spider",
    "validator.nu",
    "w3c_validator",
    "xenu link",
    "yandexblogs",
    "yandexdirect",
    "yandexfavicons",
    "yandeximages",
    "yandexmedia",
    "yandexmetrika",
    "yandexwebmaster",
];

/// The same of health checks and monitors.
const PROBES: [&str; 33] = [
    "blackbox exporter",
    "check_http",
    "checkly",
    "consul health",
    "datadog/synthetics",
    "datadogsynthetics",
    "edge health probe",
    "envoy/hc",
    "freshping",
    "googlehc/",
    "googlestackdrivermonitoring",
    "haproxy",
    "health check",
    "health-check",
    "health_check",
    "healthcheck",
    "hetrixtools",
    "kube-probe/",
    "load balancer agent",
    "monit/",
    "nagios",
    "newrelicpinger",
    "pingdom",
    "pulsetic",
    "site24x7",
    "statuscake",
    "synthetic-monitor",
    "traffic manager",
    "traffic-manager",
    "updown.io",
    "uptime-kuma",
    "uptimerobot",
    "zabbix",
];

/// Whether a user agent is that of a crawler or of a health check, or has one of these texts in it.
pub(crate) fn is_crawler(agent: &str, more: &[String]) -> bool {
    let agent = agent.to_ascii_lowercase();
    ends_a_word_with_bot(&agent)
        || CRAWLERS.iter().chain(&PROBES).any(|known| agent.contains(known))
        || more.iter().any(|named| agent.contains(&named.to_ascii_lowercase()))
}

/// "Googlebot/2.1", "AdsBot-Google", "robots"; but not "bottle", nor the telephones of Cubot and Idbot.
fn ends_a_word_with_bot(agent: &str) -> bool {
    agent.match_indices("bot").any(|(at, bot)| {
        let after = &agent[at + bot.len()..];
        let after = after.strip_prefix('s').unwrap_or(after);
        let before = agent[..at].rsplit(|sign: char| !sign.is_ascii_alphanumeric()).next().unwrap_or_default();
        !after.starts_with(|next: char| next.is_alphabetic()) && !matches!(before, "cu" | "id")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crawlers_and_probes_are_known() {
        for agent in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
            "AdsBot-Google (+http://www.google.com/adsbot.html)",
            "msnbot-media/1.1",
            "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
            "facebookexternalhit/1.1",
            "Baiduspider+(+http://www.baidu.com/search/spider.htm)",
            "my-robots 1",
            "kube-probe/1.32",
            "ELB-HealthChecker/2.0",
            "GoogleHC/1.0",
            "Consul Health Check",
            "HAProxy/2.9",
            "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
            "Amazon-Route53-Health-Check-Service (ref 1; report http://amzn.to/1)",
            "Blackbox Exporter/0.25.0",
            "Pingdom.com_bot_version_1.4",
        ] {
            assert!(is_crawler(agent, &[]), "{agent}");
        }
    }

    #[test]
    fn visitors_and_programs_are_no_crawlers() {
        for agent in [
            "",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
            "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
            "Mozilla/5.0 (Linux; Android 11; CUBOT X50) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 6.0; IDbot553 Build/MRA58K) AppleWebKit/537.36 Chrome/54.0.2840.85 Mobile Safari/537.36",
            "Drafting/7.2 (Windows; bottle)",
            "okhttp/5.0.0",
            "curl/8.11.0",
            "python-requests/2.32",
            "Java/21.0.2",
            "Ä",
        ] {
            assert!(!is_crawler(agent, &[]), "{agent}");
        }
        assert!(is_crawler("Acme-Sync/3", &["other".into(), "acme-sync".into()]));
        assert!(is_crawler("acme-sync/3", &["ACME".into()]));
    }

    #[test]
    fn the_lists_are_as_they_are_compared() {
        for known in CRAWLERS.iter().chain(&PROBES) {
            assert_eq!(*known, known.to_ascii_lowercase());
        }
    }
}
