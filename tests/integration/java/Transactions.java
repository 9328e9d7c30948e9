import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * Transactions as Kafka's own clients have them; every answer is a line without anything that differs
 * from run to run, so that the lines of two brokers can be compared. The last transaction is left
 * open, for the console tools to look at. usage: Transactions ADDRESS
 *
 * Epochs and sequences are not said: since version 4 a client takes a new epoch for each transaction
 * (KIP-890) where the broker has that feature.
 */
public final class Transactions {
    private static final Duration STEP = Duration.ofMillis(50);
    private static final long LIMIT_NS = 40_000_000_000L;

    private final String address;
    private final Admin admin;

    private Transactions(String address) {
        this.address = address;
        this.admin = Admin.create(common());
    }

    private Properties common(String... settings) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", address);
        properties.put("request.timeout.ms", "10000");
        properties.put("default.api.timeout.ms", "15000");
        properties.put("retry.backoff.ms", "20");
        properties.put("retry.backoff.max.ms", "200");
        for (int i = 0; i < settings.length; i += 2)
            properties.put(settings[i], settings[i + 1]);
        return properties;
    }

    private static void say(String what, Object answer) {
        System.out.println(what + ": " + answer);
    }

    /** The answer of a call, or the class of what it failed with. */
    private static String tried(Callable<Object> call) {
        try {
            return String.valueOf(call.call());
        } catch (ExecutionException e) {
            return e.getCause().getClass().getSimpleName();
        } catch (Exception e) {
            return e.getClass().getSimpleName();
        }
    }

    private static String outcome(Future<?> future) {
        return tried(() -> {
            future.get();
            return "done";
        });
    }

    private static void await(Callable<Boolean> shown) throws Exception {
        long end = System.nanoTime() + LIMIT_NS;
        while (!shown.call() && System.nanoTime() < end)
            Thread.sleep(20);
    }

    // ---- clients

    private KafkaProducer<String, String> bare(String id, String timeoutMs) {
        return new KafkaProducer<>(common("transactional.id", id, "transaction.timeout.ms",
            timeoutMs, "max.block.ms", "20000"), new StringSerializer(), new StringSerializer());
    }

    private KafkaProducer<String, String> producer(String id) {
        KafkaProducer<String, String> producer = bare(id, "60000");
        producer.initTransactions();
        return producer;
    }

    private KafkaConsumer<String, String> consumer(String group, IsolationLevel level) {
        Properties properties = common("auto.offset.reset", "earliest", "enable.auto.commit",
            "false", "isolation.level", level.toString().toLowerCase());
        if (group != null)
            properties.put("group.id", group);
        return new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
    }

    private static Future<RecordMetadata> send(KafkaProducer<String, String> producer,
                                               String topic, int partition, String value) {
        return producer.send(new ProducerRecord<>(topic, partition, null, value));
    }

    /** All of a topic up to its end as the isolation level has it, and where that end is. */
    private String read(String topic, IsolationLevel level) {
        TreeMap<String, Object> seen = new TreeMap<>();
        try (KafkaConsumer<String, String> consumer = consumer(null, level)) {
            List<TopicPartition> all = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(p ->
                all.add(new TopicPartition(topic, p.partition())));
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            Map<Integer, List<String>> values = new TreeMap<>();
            long until = System.nanoTime() + LIMIT_NS;
            while (all.stream().anyMatch(p -> consumer.position(p) < ends.get(p))
                && System.nanoTime() < until)
                consumer.poll(STEP).forEach(r ->
                    values.computeIfAbsent(r.partition(), p -> new ArrayList<>())
                        .add(r.offset() + "=" + r.value()));
            ends.forEach((p, end) -> seen.put(p.partition() + " to " + end,
                values.getOrDefault(p.partition(), List.of())));
        }
        return seen.toString();
    }

    private void show(String what, String... topics) {
        for (String topic : topics)
            for (IsolationLevel level : IsolationLevel.values())
                say(what + ", " + topic + ", " + level, read(topic, level));
    }

    // ---- commit and abort

    private void make() throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        admin.fenceProducers(List.of("open")).all().get(); // of an earlier run
        for (String name : List.of("one", "two", "out", "late", "open"))
            topics.add(new NewTopic(name, name.equals("one") ? 3 : 1, (short) 1));
        admin.deleteTopics(admin.listTopics().names().get()).all().get();
        await(() -> admin.listTopics().names().get().isEmpty());
        admin.createTopics(topics).all().get();
        await(() -> admin.listTopics().names().get().size() == topics.size());
    }

    private void commitAndAbort() throws Exception {
        try (KafkaProducer<String, String> producer = producer("writer")) {
            for (int n = 0; n < 6; n++) {
                producer.beginTransaction();
                for (int i = 0; i < 6; i++)
                    send(producer, i < 4 ? "one" : "two", i < 4 ? i % 3 : 0, n + "." + i);
                producer.flush();
                if (n == 3)
                    show("while it is open", "one", "two");
                if (n % 2 == 0)
                    producer.commitTransaction();
                else
                    producer.abortTransaction();
            }
            producer.beginTransaction();
            say("nothing in it", tried(() -> { producer.commitTransaction(); return "done"; }));
        }
        show("in the end", "one", "two");
        for (IsolationLevel level : IsolationLevel.values())
            say("latest " + level, admin.listOffsets(Map.of(new TopicPartition("one", 0),
                OffsetSpec.latest()), new ListOffsetsOptions(level)).all().get().values().stream()
                .map(o -> o.offset()).toList());
        try (KafkaProducer<String, String> producer = bare("long", "900001")) {
            say("for too long", tried(() -> { producer.initTransactions(); return "done"; }));
        }
    }

    // ---- who may write

    private void zombies() throws Exception {
        KafkaProducer<String, String> zombie = producer("writer"), late = producer("late");
        zombie.beginTransaction();
        send(zombie, "two", 0, "zombie").get();
        late.beginTransaction();
        send(late, "two", 0, "late").get();
        try (KafkaProducer<String, String> heir = producer("writer")) {
            show("the heir is there", "two");
            say("zombie sends", outcome(send(zombie, "two", 0, "again")));
            say("zombie commits", tried(() -> { zombie.commitTransaction(); return "done"; }));
            say("zombie aborts", tried(() -> { zombie.abortTransaction(); return "done"; }));
            heir.beginTransaction();
            send(heir, "two", 0, "heir");
            heir.commitTransaction();
            say("fence", outcome(admin.fenceProducers(List.of("late", "nobody")).all()));
            say("late commits", tried(() -> { late.commitTransaction(); return "done"; }));
        }
        zombie.close(Duration.ZERO);
        late.close(Duration.ZERO);
        show("zombies have gone", "two");
    }

    private void crash() throws Exception {
        KafkaProducer<String, String> crashed = producer("crashed");
        crashed.beginTransaction();
        send(crashed, "out", 0, "lost").get();
        crashed.sendOffsetsToTransaction(Map.of(new TopicPartition("one", 0),
            new OffsetAndMetadata(3)), new ConsumerGroupMetadata("crashed"));
        try (KafkaProducer<String, String> next = producer("crashed")) {
            show("after a crash", "out");
            say("its offsets", admin.listConsumerGroupOffsets("crashed",
                new ListConsumerGroupOffsetsOptions().requireStable(true))
                .partitionsToOffsetAndMetadata().get());
            next.beginTransaction();
            send(next, "out", 0, "found");
            next.sendOffsetsToTransaction(Map.of(new TopicPartition("one", 0),
                new OffsetAndMetadata(5, "m")), new ConsumerGroupMetadata("crashed"));
            next.commitTransaction();
        }
        // Apache Kafka answers the commit first and shows its offsets a little later.
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.of();
        for (int i = 0; i < 100 && offsets.isEmpty(); i++, Thread.sleep(50))
            offsets = admin.listConsumerGroupOffsets("crashed",
                new ListConsumerGroupOffsetsOptions().requireStable(true))
                .partitionsToOffsetAndMetadata().get();
        say("offsets of the next", offsets);
        crashed.close(Duration.ZERO);
    }

    // ---- consume, transform, produce

    private static Map<TopicPartition, OffsetAndMetadata> positions(
        KafkaConsumer<String, String> consumer) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        consumer.assignment().forEach(p ->
            offsets.put(p, new OffsetAndMetadata(consumer.position(p))));
        return offsets;
    }

    /** Every other transaction is aborted and what it has read is read again. */
    private void passOn() throws Exception {
        ConsumerGroupMetadata old;
        int wanted = 12, passed = 0, round = 0;
        try (KafkaConsumer<String, String> consumer =
                 consumer("movers", IsolationLevel.READ_COMMITTED);
             KafkaProducer<String, String> producer = producer("mover")) {
            consumer.subscribe(List.of("one"));
            long until = System.nanoTime() + LIMIT_NS;
            while (passed < wanted && System.nanoTime() < until) {
                Map<TopicPartition, Long> before = new HashMap<>();
                ConsumerRecords<String, String> records = consumer.poll(STEP);
                if (records.isEmpty())
                    continue;
                records.partitions().forEach(p ->
                    before.put(p, records.records(p).get(0).offset()));
                producer.beginTransaction();
                records.forEach(r -> producer.send(new ProducerRecord<>("out", r.value() + "'")));
                producer.sendOffsetsToTransaction(positions(consumer), consumer.groupMetadata());
                if (round++ % 2 == 0) {
                    producer.abortTransaction();
                    before.forEach(consumer::seek);
                } else {
                    producer.commitTransaction();
                    passed += records.count();
                }
            }
            say("passed on", passed);
            say("lag", consumer.assignment().stream()
                .mapToLong(p -> consumer.currentLag(p).orElse(-1)).sum());
            old = consumer.groupMetadata();
        }
        say("offsets of movers", new TreeMap<>(admin.listConsumerGroupOffsets("movers",
            new ListConsumerGroupOffsetsOptions().requireStable(true))
            .partitionsToOffsetAndMetadata().get().entrySet().stream().collect(
                java.util.stream.Collectors.toMap(e -> e.getKey().toString(),
                    e -> e.getValue().offset()))));
        try (KafkaConsumer<String, String> consumer =
                 consumer(null, IsolationLevel.READ_COMMITTED)) {
            TopicPartition out = new TopicPartition("out", 0);
            consumer.assign(List.of(out));
            consumer.seekToBeginning(List.of(out));
            long end = consumer.endOffsets(List.of(out)).get(out);
            TreeSet<String> values = new TreeSet<>();
            while (consumer.position(out) < end)
                consumer.poll(STEP).forEach(r -> {
                    if (!values.add(r.value()))
                        say("twice", r.value());
                });
            say("out", values);
        }
        try (KafkaProducer<String, String> producer = producer("mover")) {
            producer.beginTransaction();
            ConsumerGroupMetadata gone = old;
            say("offsets of one who has left", tried(() -> {
                producer.sendOffsetsToTransaction(Map.of(new TopicPartition("one", 0),
                    new OffsetAndMetadata(0)), gone);
                return "sent";
            }));
            say("then", tried(() -> { producer.abortTransaction(); return "aborted"; }));
        }
    }

    // ---- time

    private void timeOut() throws Exception {
        KafkaProducer<String, String> slow = bare("slow", "1000");
        slow.initTransactions();
        slow.beginTransaction();
        send(slow, "late", 0, "slow").get();
        try (KafkaProducer<String, String> plain = new KafkaProducer<>(common(),
                 new StringSerializer(), new StringSerializer())) {
            send(plain, "late", 0, "plain").get();
        }
        await(() -> read("late", IsolationLevel.READ_COMMITTED).contains("plain"));
        show("after the time-out", "late");
        // InvalidTxnStateException of a client with KIP-890, else ProducerFencedException.
        say("too late", tried(() -> { slow.commitTransaction(); return "done"; })
            .endsWith("Exception"));
        slow.close(Duration.ZERO);
    }

    // ---- who looks after them

    private void admin() throws Exception {
        producer("open").close(); // so that there is an older epoch
        KafkaProducer<String, String> open = bare("open", "600000");
        open.initTransactions();
        open.beginTransaction();
        send(open, "open", 0, "open").get();
        send(open, "one", 2, "open").get();
        send(open, "one", 1, "open").get();
        TreeMap<String, String> listed = new TreeMap<>();
        admin.listTransactions().all().get().forEach(t ->
            listed.put(t.transactionalId(), t.state().toString()));
        say("listed", listed);
        for (TransactionState state : TransactionState.values())
            if (state != TransactionState.UNKNOWN)
                say("in state " + state, new TreeSet<>(admin.listTransactions(
                    new ListTransactionsOptions().filterStates(List.of(state))).all().get()
                    .stream().map(TransactionListing::transactionalId).toList()));
        for (long age : List.of(0L, 3_600_000L))
            say("older than " + age, new TreeSet<>(admin.listTransactions(
                new ListTransactionsOptions().filterOnDuration(age)).all().get().stream()
                .map(TransactionListing::transactionalId).filter(id -> age > 0
                    || id.equals("open")).toList()));
        for (String id : List.of("open", "writer", "slow", "nobody"))
            say("described " + id, tried(() -> {
                TransactionDescription d =
                    admin.describeTransactions(List.of(id)).description(id).get();
                return d.coordinatorId() + " " + d.state() + " " + d.transactionTimeoutMs() + " "
                    + d.transactionStartTimeMs().isPresent() + " "
                    + new TreeSet<>(d.topicPartitions().stream().map(Object::toString).toList());
            }));
        TopicPartition p = new TopicPartition("open", 0);
        say("producers", producers(p));
        ProducerState state = admin.describeProducers(List.of(p)).partitionResult(p).get()
            .activeProducers().get(0);
        say("no such partition", tried(() -> producers(new TopicPartition("open", 5))));
        say("abort of an older epoch", outcome(admin.abortTransaction(new AbortTransactionSpec(p,
            state.producerId(), (short) (state.producerEpoch() - 1), 0)).all()));
        say("abort", outcome(admin.abortTransaction(new AbortTransactionSpec(p, state.producerId(),
            (short) state.producerEpoch(), 0)).all()));
        say("producers", producers(p));
        show("aborted from outside", "open");
    }

    private String producers(TopicPartition p) throws Exception {
        return admin.describeProducers(List.of(p),
            new DescribeProducersOptions().timeoutMs(3000)).partitionResult(p).get()
            .activeProducers().stream().map(s -> s.coordinatorEpoch() + " "
                + s.currentTransactionStartOffset() + " " + (s.lastTimestamp() > 0)).toList()
            .toString();
    }

    public static void main(String[] arguments) throws Exception {
        Transactions t = new Transactions(arguments[0]);
        t.make();
        t.commitAndAbort();
        t.zombies();
        t.crash();
        t.passOn();
        t.timeOut();
        t.admin();
        say("end", "reached");
        System.out.flush();
        Runtime.getRuntime().halt(0); // the last transaction stays open
    }
}
